// The way of weights to GPUs: they are packed, or read from the cache, in the CPU's memory, a
// portion at a time, and copied.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/device/memory.hpp"
#include "core/device/queue.hpp"
#include "engine/load/weight_parts.hpp"

namespace ktx::engine {

class GpuLoader {
 public:
  /// queues: of the GPUs that the plan names; they outlive the loader. Takes the memory of all
  /// weights there, and gives those of `modules` their addresses in it. Throws environment error.
  GpuLoader(std::span<device::Queue* const> queues, LoadedModules& modules);

  /// Bytes of the CPU's memory that a part takes on its way.
  static uint64_t staged_bytes(const Part& part);
  /// Points the destinations of parts into staging memory.
  void stage(std::span<Part* const> parts);
  /// Copies what has been packed there; done when the call returns. Throws environment error.
  void upload(std::span<Part* const> parts);
  /// The memory of the weights.
  std::vector<device::Block> take();

 private:
  struct GpuMemory {
    device::Queue* queue = nullptr;
    uint64_t size = 0;
    device::Block block;
  };
  GpuMemory& of(const LoadedWeight& weight);

  std::vector<GpuMemory> gpus_;
  device::Block staging_;
};

}  // namespace ktx::engine
