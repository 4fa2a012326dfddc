// Staging memory, and copies to GPUs.
#include "engine/load/gpu_loader.hpp"

#include <algorithm>

#include "core/base/error.hpp"

namespace ktx::engine {

namespace {

constexpr uint64_t alignment = 256;

uint64_t bytes_of(const LoadedWeight& weight) {
  return static_cast<uint64_t>(weight.held_count() * weight.matrix_bytes);
}

uint64_t aligned_bytes(const LoadedWeight& weight) {
  return (bytes_of(weight) + alignment - 1) / alignment * alignment;
}

// Calls f(weight on a GPU, its destination) for each in the parts.
template <class Parts, class F>
void each_on_gpu(const Parts& parts, const F& f) {
  for (auto* part : parts)
    for (auto& weight : part->weights)
      for (const auto& target : weight.targets)
        if (target.weight->is_on_gpu()) f(*target.weight, weight.job.destinations[target.first]);
}

}  // namespace

GpuLoader::GpuLoader(std::span<device::Queue* const> queues, LoadedModules& modules) {
  for (auto* queue : queues) gpus_.push_back({queue, 0, {}});
  const auto each = [&](const auto& f) {
    for (auto& module : modules)
      for (auto& weight : module)
        if (weight.is_on_gpu()) f(weight, of(weight));
  };
  each([](const auto& weight, auto& gpu) { gpu.size += aligned_bytes(weight); });
  for (auto& gpu : gpus_) gpu.block = device::alloc(gpu.queue->place(), gpu.size);
  for (auto& gpu : gpus_) gpu.size = 0;
  each([](auto& weight, auto& gpu) {
    weight.data = gpu.block.data() + gpu.size;
    gpu.size += aligned_bytes(weight);
  });
}

GpuLoader::GpuMemory& GpuLoader::of(const LoadedWeight& weight) {
  const auto found = std::ranges::find_if(
      gpus_, [&](const GpuMemory& gpu) { return gpu.queue->place() == weight.place; });
  require(found != gpus_.end(), "weights on a GPU that has no queue");
  return *found;
}

uint64_t GpuLoader::staged_bytes(const Part& part) {
  uint64_t sum = 0;
  const Part* const parts[] = {&part};
  each_on_gpu(parts, [&](const auto& weight, const auto&) { sum += aligned_bytes(weight); });
  return sum;
}

void GpuLoader::stage(std::span<Part* const> parts) {
  uint64_t sum = 0;
  for (const auto* part : parts) sum += staged_bytes(*part);
  if (sum > staging_.size()) {
    staging_ = {};
    staging_ = device::alloc({}, sum, device::Pinned::yes);
  }
  std::byte* at = staging_.data();
  each_on_gpu(parts, [&](const auto& weight, auto& to) {
    to.data = at;
    at += aligned_bytes(weight);
  });
}

void GpuLoader::upload(std::span<Part* const> parts) {
  each_on_gpu(parts, [&](const auto& weight, const auto& from) {
    of(weight).queue->copy(const_cast<std::byte*>(weight.data), from.data, bytes_of(weight));
  });
  for (auto& gpu : gpus_) gpu.queue->synchronize();
}

std::vector<device::Block> GpuLoader::take() {
  std::vector<device::Block> blocks;
  for (auto& gpu : gpus_) blocks.push_back(std::move(gpu.block));
  return blocks;
}

}  // namespace ktx::engine
