// What the files with commands for GPUs share.
#pragma once

#include "engine/run/commands_internal.hpp"
#include "engine/run/cuda_kit.hpp"
#include "ops/attention/cuda_batch.hpp"
#include "ops/elementwise/cuda.hpp"
#include "ops/moe/cuda.hpp"

namespace ktx::engine {

/// A command that submits kernels to a GPU.
class CudaCommand : public Command {
 public:
  CudaCommand(const CommandContext& c, const graph::Node& node) noexcept
      : CudaCommand(c, node.place, in_tail(c, node)) {}
  CudaCommand(const CommandContext& c, int gpu, bool tail) noexcept
      : Command(gpu), queue_(c.devices->queue(gpu)), kit_(c.devices->kit(gpu)), tail_(tail) {}

  void run(const StepContext& step) const noexcept final;

 protected:
  /// Called with the command's GPU as the current device.
  virtual void submit(const StepContext& step) const noexcept = 0;

  device::Queue& queue() const noexcept { return queue_; }
  CudaKit& kit() const noexcept { return kit_; }
  int64_t rows(const StepContext& step) const noexcept {
    return tail_ ? static_cast<int64_t>(step.logit_rows.size()) : step.rows;
  }
  template <class T>
  static T* data(const StepContext& step, const ValueRef& value) noexcept {
    return reinterpret_cast<T*>(step.workspace.data(value));
  }
  static float* f32(const StepContext& step, const ValueRef& value) noexcept {
    return data<float>(step, value);
  }
  static uint16_t* bf16(const StepContext& step, const ValueRef& value) noexcept {
    return data<uint16_t>(step, value);
  }
  /// Arguments for y = f(a, b), all f32.
  ops::cuda::PairArgs pair(const StepContext& step, const ValueRef& a, const ValueRef& b,
                           const ValueRef& y) const noexcept {
    return {.a = f32(step, a),
            .a_stride = a.stride,
            .b = f32(step, b),
            .b_stride = b.stride,
            .y = f32(step, y),
            .y_stride = y.stride,
            .tokens = rows(step),
            .width = y.width};
  }
  std::byte* scratch(const StepContext& step) const noexcept {
    return step.workspace.scratch(place());
  }

 private:
  device::Queue& queue_;
  CudaKit& kit_;
  bool tail_;
};

/// A weight of a node's module at the node's place. weight_of: it must exist; find_weight: null if
/// it does not.
inline const LoadedWeight& weight_of(const CommandContext& c, const graph::Node& node,
                                     std::string_view role) {
  return c.weights->get(node.module, role, c.place(node.place));
}
inline const LoadedWeight* find_weight(const CommandContext& c, const graph::Node& node,
                                       std::string_view role) {
  return c.weights->find(node.module, role, c.place(node.place));
}

/// Arguments that describe the shape of a node's experts, whose weights are stored like these.
ops::cuda::MoeArgs moe_shape(const graph::Node& node, const LoadedWeight& gate,
                             const LoadedWeight& down);

/// The step's batch as attention on a GPU reads it.
ops::cuda::Batch cuda_batch(const StepContext& step, int gpu) noexcept;

/// An attention node, optionally fused with the norm of its latents before it.
std::unique_ptr<Command> make_cuda_attention(const CommandContext& context,
                                             std::span<const graph::Node> nodes);
size_t cuda_attention_scratch(const CommandContext& context, const graph::Node& node);

std::unique_ptr<Command> make_cuda_router(const CommandContext& context, const graph::Node& node);
std::unique_ptr<Command> make_cuda_moe(const CommandContext& context, const graph::Node& node);
/// Experts that stay in the GPU's memory.
std::unique_ptr<Command> make_cuda_resident_moe(const CommandContext& context,
                                                const graph::Node& node);
size_t cuda_resident_moe_scratch(const CommandContext& context, const graph::Node& node);
/// Experts that are streamed from CPU memory during the step, together with those resident on the
/// GPU.
std::unique_ptr<Command> make_cuda_streamed_moe(const CommandContext& context,
                                                const graph::Node& node);
size_t cuda_streamed_moe_scratch(const CommandContext& context, const graph::Node& node);
size_t cuda_router_scratch(const CommandContext& context, const graph::Node& node);
size_t cuda_moe_scratch(const CommandContext& context, const graph::Node& node);

/// Copies between the CPU and a GPU, or two GPUs.
std::unique_ptr<Command> make_cuda_copy(const CommandContext& context,
                                        std::span<const graph::Node> nodes);

}  // namespace ktx::engine
