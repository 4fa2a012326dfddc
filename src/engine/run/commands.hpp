// Creates commands: nodes of the lowered graph bound to their kernels, weights and values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "core/graph/graph.hpp"
#include "engine/load/weights.hpp"
#include "engine/run/program.hpp"
#include "placement/plan.hpp"

namespace ktx::engine {

/// What commands are made from; everything in it must outlive them.
struct CommandContext {
  const placement::Plan* plan = nullptr;
  const Weights* weights = nullptr;
  const graph::Graph* graph = nullptr;  // lowered
  const Devices* devices = nullptr;     // null: only the CPU, or commands are made but not run
  std::span<const device::Place> places;
  const ModulePlaces* modules = nullptr;  // null: all on the CPU
  const ExpertSlots* slots = nullptr;
  std::vector<ValueRef> values;  // one per value of the graph
  RopeTables* ropes = nullptr;
  int64_t max_rows = 0, max_sequence_rows = 0, max_sequences = 1;
  int workers = 1;

  const device::Place& place(int index) const { return places[static_cast<size_t>(index)]; }
  bool is_gpu(int index) const { return place(index).kind == device::DeviceKind::cuda; }
  /// Whether experts of a module are streamed to a GPU during a step.
  bool streams(int module) const {
    return modules != nullptr && !modules->streams.empty() &&
           modules->streams[static_cast<size_t>(module)];
  }
  /// Multiprocessors of the GPU at that place; if the plan's machine does not say, those of today's
  /// largest GPU.
  int multiprocessors(int place) const;
};

/// Makes the command of the nodes that command_nodes() gives.
std::unique_ptr<Command> make_command(const CommandContext& context,
                                      std::span<const graph::Node> nodes);

/// The same for nodes on a GPU, and for copies to or from one (cuda_commands.cpp). For a copy to
/// the CPU, this command only starts it.
std::unique_ptr<Command> make_cuda_command(const CommandContext& context,
                                           std::span<const graph::Node> nodes);
size_t cuda_scratch_bytes(const CommandContext& context, std::span<const graph::Node> nodes);

/// Commands between those of nodes, for plans with GPUs. Inputs: copies the batch to a GPU, before
/// everything else. Receive: on the CPU, waits until data copied from a GPU has arrived. Answer: on
/// the CPU, releases its results to be copied to a GPU. Post: on a GPU, if the CPU answers without
/// having received anything.
std::unique_ptr<Command> make_inputs_command(const CommandContext& context, int gpu);
std::unique_ptr<Command> make_post_command(const CommandContext& context, int gpu);
std::unique_ptr<Command> make_receive_command(const CommandContext& context, int gpu);
std::unique_ptr<Command> make_answer_command(const CommandContext& context, int gpu);

/// Bytes of scratch that the nodes need for any batch within the context's limits.
size_t scratch_bytes(const CommandContext& context, std::span<const graph::Node> nodes);

/// Whether the node runs for the rows of logits instead of all rows of the batch.
bool in_tail(const CommandContext& context, const graph::Node& node);

}  // namespace ktx::engine
