// Making commands: a node of the lowered graph with its kernels, weights and values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "core/graph/graph.hpp"
#include "engine/load/weights.hpp"
#include "engine/run/program.hpp"
#include "placement/plan.hpp"

namespace ktx::engine {

/// What commands are made from; all of it outlives them.
struct CommandContext {
  const placement::Plan* plan = nullptr;
  const Weights* weights = nullptr;
  const graph::Graph* graph = nullptr;  // lowered
  const ExpertSlots* slots = nullptr;
  std::vector<ValueRef> values;  // one a value of the graph
  std::function<const ops::RopeTable*(const graph::Rope&)> rope_table;
  int64_t max_rows = 0, max_sequences = 1;
  int workers = 1;
};

/// Makes the command of one node, or of several linear nodes that read the same value.
std::unique_ptr<Command> make_command(const CommandContext& context,
                                      std::span<const graph::Node> nodes);

/// Bytes of scratch that the nodes need for any batch within the context's limits.
size_t scratch_bytes(const CommandContext& context, std::span<const graph::Node> nodes);

/// Whether the node runs once a logits row instead of once a row of the batch.
bool in_tail(const CommandContext& context, const graph::Node& node);

}  // namespace ktx::engine
