// Queries on a plan.
#include "placement/plan.hpp"

#include <algorithm>

#include "ops/linear/linear.hpp"
#include "placement/values.hpp"

namespace ktx::placement {

std::string to_string(const NumaPolicy& policy) {
  switch (policy.kind) {
    case NumaKind::replicate:
      return "replicate";
    case NumaKind::shard:
      return "shard";
    case NumaKind::interleave:
      return "interleave";
    case NumaKind::node:
      break;
  }
  return "node:" + std::to_string(policy.node);
}

uint64_t DeviceMemory::most() const noexcept {
  const uint64_t running = cache + activations + scratch + rope_tables + streaming;
  return driver + weights + std::max(running, loading);
}

int64_t Plan::decode_rows() const noexcept {
  return ops::decode_tokens * sessions;
}

const PlannedModule* Plan::find(int module) const noexcept {
  for (const auto& planned : modules)
    if (planned.module == module) return &planned;
  return nullptr;
}

const graph::Module& Plan::module_of(const PlannedModule& planned) const {
  return model.modules[static_cast<size_t>(planned.module)];
}

bool Plan::streams() const noexcept {
  return std::ranges::any_of(modules, &PlannedModule::stream);
}

uint64_t Plan::weight_bytes() const noexcept {
  uint64_t bytes = 0;
  for (const auto& planned : modules) bytes += planned.bytes;
  return bytes;
}

uint64_t Plan::bytes_per_token() const noexcept {
  uint64_t bytes = 0;
  for (const auto& planned : modules) bytes += planned.bytes_per_token;
  return bytes;
}

uint64_t Plan::cache_bytes() const noexcept {
  uint64_t bytes = 0;
  for (const auto& memory : devices) bytes += memory.cache;
  return bytes;
}

const hw::Gpu& Plan::gpu(std::string_view device) const {
  return machine.gpus.at(static_cast<size_t>(device_number(device)));
}

const DeviceMemory* Plan::find_device(std::string_view device) const noexcept {
  for (const auto& memory : devices)
    if (memory.device == device) return &memory;
  return nullptr;
}

}  // namespace ktx::placement
