// Loads weights onto GPUs: they are packed, or read from the cache, in CPU staging memory, a
// portion at a time, and then copied.
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
  /// queues: of the GPUs that the plan names; they must outlive the loader. Allocates GPU memory
  /// for all their weights and sets the addresses in `modules`. Throws environment error.
  GpuLoader(std::span<device::Queue* const> queues, LoadedModules& modules);

  /// Bytes of staging memory that a part needs.
  static uint64_t staged_bytes(const Part& part);
  /// Points the destinations of parts to staging memory.
  void stage(std::span<Part* const> parts);
  /// Copies the packed parts to the GPUs; done when the call returns. Throws environment error.
  void upload(std::span<Part* const> parts);
  /// Hands over the GPU memory of the weights.
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
