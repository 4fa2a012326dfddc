// The memory that one running step writes: values, scratch, and the arrays that describe the batch
// to GPUs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/base/buffer.hpp"
#include "core/device/memory.hpp"
#include "engine/run/program.hpp"
#include "engine/run/step_inputs.hpp"
#include "ktx/engine.hpp"
#include "ops/attention/cuda.hpp"
#include "ops/attention/kv_pages.hpp"

namespace ktx::engine {

/// The numbers of a value on the CPU: row t is at data + t * stride.
struct ValueView {
  float* data = nullptr;
  int64_t stride = 0, width = 0;
};

/// Serves one step at a time; concurrent steps of a program need a workspace each.
class Workspace {
 public:
  /// CPU memory is interleaved over NUMA nodes, and pinned if there are GPUs. Throws environment
  /// error when memory is short.
  Workspace(const Program& program, const hw::Machine& machine);
  ~Workspace();

  ValueView view(const ValueRef& value) noexcept {
    return {reinterpret_cast<float*>(data(value)), value.stride, value.width};
  }
  /// In the memory of its place.
  std::byte* data(const ValueRef& value) noexcept {
    return places_[static_cast<size_t>(value.place)].values + value.offset;
  }
  /// Shared by the commands of a place, which run one after another.
  std::byte* scratch(int place) noexcept { return places_[static_cast<size_t>(place)].scratch; }
  /// The batch as a GPU reads it; filled in by stage().
  StepInputs& inputs(int place) noexcept { return *places_[static_cast<size_t>(place)].inputs; }
  /// Describes the batch to the GPUs, in memory from which their first command copies. Waits until
  /// they have copied what was staged before.
  void stage(const Batch& batch) noexcept;

  std::vector<int32_t> experts_per_token;    // [max_rows] of the layer being run
  std::vector<ops::SequenceRows> sequences;  // [max_sequences] as attention reads them
  std::vector<ops::cuda::Prompt> prompts;    // sequences that GPUs process as prompts
  /// If experts of the layer being run are streamed: [experts] the index among the CPU's matrices
  /// of each expert that the CPU computes, -1 for the others; and how long the CPU took.
  std::vector<int32_t> expert_slots;
  double expert_seconds = 0;
  ExpertUse expert_use;  // of all steps that ran here
  bool failed = false;   // a GPU stopped answering: nothing more is run

 private:
  struct PlaceMemory {
    std::byte *values = nullptr, *scratch = nullptr;
    base::Buffer cpu_values, cpu_scratch;
    device::Pin pin;  // of cpu_values: ends before them
    device::Block gpu_values, gpu_scratch;
    std::unique_ptr<StepInputs> inputs;
  };
  std::vector<PlaceMemory> places_;
};

}  // namespace ktx::engine
