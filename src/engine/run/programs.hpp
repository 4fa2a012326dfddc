// The programs of a plan: one for each phase, because modules may be placed differently in them and
// decode steps are small.
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "engine/run/batch.hpp"
#include "engine/run/cuda_expert_stream.hpp"
#include "engine/run/devices.hpp"
#include "engine/run/program.hpp"

namespace ktx::engine {

class Programs {
 public:
  /// The arguments must outlive it. Throws environment error when a GPU has too little memory.
  Programs(const placement::Plan& plan, const Weights& weights, const Devices& devices);

  /// prefill: for slices of prompts; decode: for steps of decoding sequences and short prompts that
  /// join them.
  const Program& of(Phase phase) const noexcept {
    return phase == Phase::prefill ? prefill_ : decode_;
  }
  const Devices& devices() const noexcept { return devices_; }

 private:
  /// Where the experts of modules with residents are: see ExpertSlots.
  struct Slots {
    Slots(const placement::Plan& plan, const Weights& weights, size_t places);
    std::vector<std::unique_ptr<std::vector<int32_t>>> numbers;
    ExpertSlots slots;
  };

  const Devices& devices_;
  Slots slots_;
  RopeTables ropes_;
  Program prefill_, decode_;
};

/// The most rows of a phase's steps.
MostRows most_rows(const placement::Plan& plan, Phase phase) noexcept;

/// For each KV cache of the model the queue of its GPU, null if it is on the CPU; empty if all are.
std::vector<device::Queue*> cache_queues(const placement::Plan& plan, const Devices& devices);

/// The ring buffer of experts that are streamed to a device; gate_bytes is 0 if none are.
ExpertStreamShape stream_shape(const placement::Plan& plan, const std::string& device);

/// Memory that running a plan needs besides weights and KV cache, for each device that it uses: for
/// placement::PlanOptions::run_memory.
std::vector<placement::DeviceMemory> step_memory(const placement::Plan& plan);

}  // namespace ktx::engine
