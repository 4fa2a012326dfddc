// Making commands: a node of the lowered graph with its kernels, weights and values.
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

/// What commands are made from; all of it outlives them.
struct CommandContext {
  const placement::Plan* plan = nullptr;
  const Weights* weights = nullptr;
  const graph::Graph* graph = nullptr;  // lowered
  const Devices* devices = nullptr;     // null: the CPU alone, or nothing is run
  std::span<const device::Place> places;
  const ModulePlaces* modules = nullptr;  // null: all on the CPU
  const ExpertSlots* slots = nullptr;
  std::vector<ValueRef> values;  // one a value of the graph
  RopeTables* ropes = nullptr;
  int64_t max_rows = 0, max_sequence_rows = 0, max_sequences = 1;
  int workers = 1;

  const device::Place& place(int index) const { return places[static_cast<size_t>(index)]; }
  bool is_gpu(int index) const { return place(index).kind == device::DeviceKind::cuda; }
  /// Whether the experts of a module come to a GPU as a step goes on.
  bool streams(int module) const {
    return modules != nullptr && !modules->streams.empty() &&
           modules->streams[static_cast<size_t>(module)];
  }
  /// Of the GPU at that place; the largest of today's where the plan's machine does not say.
  int multiprocessors(int place) const;
};

/// Makes the command of the nodes that command_nodes() gives.
std::unique_ptr<Command> make_command(const CommandContext& context,
                                      std::span<const graph::Node> nodes);

/// The same of nodes on a GPU, and of copies to or from one (cuda_commands.cpp). A copy to the CPU
/// is begun by this command.
std::unique_ptr<Command> make_cuda_command(const CommandContext& context,
                                           std::span<const graph::Node> nodes);
size_t cuda_scratch_bytes(const CommandContext& context, std::span<const graph::Node> nodes);

/// What stands around the nodes' commands where there are GPUs. Inputs: the batch to a GPU, first
/// of all. Receive: on the CPU, waits until what was copied from a GPU has come. Answer: on the
/// CPU, what was computed may be copied to a GPU. Post: on a GPU, where the CPU answers without
/// having been sent anything.
std::unique_ptr<Command> make_inputs_command(const CommandContext& context, int gpu);
std::unique_ptr<Command> make_post_command(const CommandContext& context, int gpu);
std::unique_ptr<Command> make_receive_command(const CommandContext& context, int gpu);
std::unique_ptr<Command> make_answer_command(const CommandContext& context, int gpu);

/// Bytes of scratch that the nodes need for any batch within the context's limits.
size_t scratch_bytes(const CommandContext& context, std::span<const graph::Node> nodes);

/// Whether the node runs once a logits row instead of once a row of the batch.
bool in_tail(const CommandContext& context, const graph::Node& node);

}  // namespace ktx::engine
