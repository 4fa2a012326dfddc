// Shared by the files that hold commands.
#pragma once

#include "engine/run/commands.hpp"
#include "engine/run/workspace.hpp"
#include "ops/f32/f32.hpp"
#include "ops/linear/linear.hpp"
#include "ops/matmul/matmul.hpp"

namespace ktx::engine {

inline const ValueRef& input(const CommandContext& context, const graph::Node& node, size_t i) {
  return context.values[static_cast<size_t>(node.inputs[i])];
}
inline const ValueRef& output(const CommandContext& context, const graph::Node& node) {
  return context.values[static_cast<size_t>(node.output)];
}

/// The experts chosen for each row of a step, [rows, top_k], in a routing value.
struct RoutingView {
  int32_t* ids = nullptr;
  float* weights = nullptr;
};
inline RoutingView routing(Workspace& workspace, const ValueRef& value, int64_t max_rows) {
  auto* ids = reinterpret_cast<int32_t*>(workspace.data(value));
  return {.ids = ids, .weights = reinterpret_cast<float*>(ids + max_rows * value.width)};
}

/// Rows that a command of the CPU runs on.
inline int64_t rows_of(const StepContext& step, bool tail) noexcept {
  return tail ? static_cast<int64_t>(step.logit_rows.size()) : step.batch.rows();
}

/// The float loops that the plan names for a node's module. As in linear layers, decode's are used
/// up to ops::decode_tokens rows.
struct Loops {
  Loops(const CommandContext& context, const graph::Node& node);
  const ops::f32::Kernel* of(const Batch& batch, int64_t rows) const noexcept {
    return batch.decode_kernels || rows <= ops::decode_tokens ? decode : prefill;
  }
  const ops::f32::Kernel *decode, *prefill;
};

/// A weight's matrices with the kernels that the plan chose for its module.
ops::PackedMatrix packed_matrix(const CommandContext& context, int module,
                                const LoadedWeight& weight);

std::unique_ptr<Command> make_mla_command(const CommandContext& context, const graph::Node& node);
std::unique_ptr<Command> make_gqa_command(const CommandContext& context, const graph::Node& node);
size_t mla_scratch(const CommandContext& context, const graph::Node& node);
size_t gqa_scratch(const CommandContext& context, const graph::Node& node);

std::unique_ptr<Command> make_router_command(const CommandContext& context,
                                             const graph::Node& node);
std::unique_ptr<Command> make_moe_command(const CommandContext& context,
                                          std::span<const graph::Node> nodes);
size_t moe_scratch(const CommandContext& context, std::span<const graph::Node> nodes);

}  // namespace ktx::engine
