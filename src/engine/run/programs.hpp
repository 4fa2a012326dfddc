// A plan made ready to run: a program for each phase, since a module's place may differ between
// them, and steps of decoding are small.
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
  /// All must outlive it. Throws environment error when a GPU has too little memory.
  Programs(const placement::Plan& plan, const Weights& weights, const Devices& devices);

  /// prefill: of slices of prompts; decode: of steps of decoding sequences and what joins them.
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

/// The rows of a phase's steps at most.
MostRows most_rows(const placement::Plan& plan, Phase phase) noexcept;

/// The queue of the GPU of each of the model's caches, null where it is the CPU's; empty where all
/// are.
std::vector<device::Queue*> cache_queues(const placement::Plan& plan, const Devices& devices);

/// The ring of experts that are streamed to a device; its gate_bytes are 0 where none are.
ExpertStreamShape stream_shape(const placement::Plan& plan, const std::string& device);

/// What running a plan takes besides weights and KV cache, of each device that it uses: for
/// placement::PlanOptions::run_memory.
std::vector<placement::DeviceMemory> step_memory(const placement::Plan& plan);

}  // namespace ktx::engine
