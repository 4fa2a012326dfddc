// All memory that one step in flight writes: values, scratch, and what GPUs are told of the batch.
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

/// One step at a time; several workspaces of a program serve several steps.
class Workspace {
 public:
  /// On several NUMA nodes memory of the CPU is interleaved; where there are GPUs it is pinned.
  /// Throws environment error when there is not enough.
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
  /// What a GPU reads of the batch; stage() fills it in.
  StepInputs& inputs(int place) noexcept { return *places_[static_cast<size_t>(place)].inputs; }
  /// Tells the GPUs of a batch: in memory from which their first command copies. Waits until they
  /// have copied what was staged before.
  void stage(const Batch& batch) noexcept;

  std::vector<int32_t> experts_per_token;    // [max_rows] of the layer being run
  std::vector<ops::SequenceRows> sequences;  // [max_sequences] as attention reads them
  std::vector<ops::cuda::Prompt> prompts;    // those that GPUs take as prompts
  /// Of the experts of the layer being run, where some are streamed: [experts] the numbers of those
  /// that the CPU computes among its matrices, -1: the others; and how long it took.
  std::vector<int32_t> expert_slots;
  double expert_seconds = 0;
  ExpertUse expert_use;  // of all steps that ran here
  bool failed = false;   // a GPU does not answer: nothing more is run

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
