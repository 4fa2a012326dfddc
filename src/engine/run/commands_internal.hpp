// Shared by the files that hold commands.
#pragma once

#include "engine/run/commands.hpp"

namespace ktx::engine {

inline ValueView input(const CommandContext& context, const graph::Node& node, size_t i) {
  return context.values[static_cast<size_t>(node.inputs[i])];
}
inline ValueView output(const CommandContext& context, const graph::Node& node) {
  return context.values[static_cast<size_t>(node.output)];
}

/// The experts chosen for each token of a step, [tokens, top_k], in a routing value.
struct RoutingView {
  int32_t* ids = nullptr;
  float* weights = nullptr;
};
inline RoutingView routing(const CommandContext& context, const ValueView& value) {
  return {.ids = reinterpret_cast<int32_t*>(value.data),
          .weights = value.data + context.max_tokens * value.width};
}

/// Whether the node runs once a logits row instead of once a token.
bool in_tail(const CommandContext& context, const graph::Node& node);

/// A weight's matrices with the kernels that the plan chose for its module.
ops::PackedMatrix packed_matrix(const CommandContext& context, int module,
                                const LoadedWeight& weight);

std::unique_ptr<Command> make_mla_command(const CommandContext& context, const graph::Node& node);
std::unique_ptr<Command> make_gqa_command(const CommandContext& context, const graph::Node& node);
size_t mla_scratch(const CommandContext& context, const graph::Node& node);
size_t gqa_scratch(const CommandContext& context, const graph::Node& node);

}  // namespace ktx::engine
