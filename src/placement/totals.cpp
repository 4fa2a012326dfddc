// Sums over a plan.
#include "placement/totals.hpp"

#include "placement/values.hpp"

namespace ktx::placement {

namespace {

void add_expert_use(const Plan& plan, const graph::Node& node, std::vector<ExpertUse>& uses) {
  const auto* moe = std::get_if<graph::MoeParams>(&node.params);
  if (moe == nullptr) return;
  const int per_token = plan.experts_per_token[static_cast<size_t>(node.layer)];
  for (auto& use : uses)
    if (use.per_token == per_token && use.experts == moe->experts) {
      use.layers.push_back(node.layer);
      return;
    }
  uses.push_back({per_token, moe->experts, {node.layer}});
}

constexpr MemoryPart parts[] = {
    {"weights", &DeviceMemory::weights},         {"KV cache", &DeviceMemory::cache},
    {"activations", &DeviceMemory::activations}, {"kernels' scratch", &DeviceMemory::scratch},
    {"rope tables", &DeviceMemory::rope_tables}, {"streamed experts", &DeviceMemory::streaming},
    {"driver", &DeviceMemory::driver},           {"loading buffers", &DeviceMemory::loading},
};

}  // namespace

std::span<const MemoryPart> memory_parts() noexcept {
  return parts;
}

uint64_t memory_of(const Plan& plan, const std::string& device) {
  return is_gpu(device) ? plan.gpu(device).memory_bytes : plan.machine.memory_bytes();
}

std::vector<LayerRange> ranges_of(const std::vector<int>& layers) {
  std::vector<LayerRange> ranges;
  for (const int layer : layers)
    if (!ranges.empty() && ranges.back().last + 1 == layer)
      ranges.back().last = layer;
    else
      ranges.push_back({layer, layer});
  return ranges;
}

bool has_numa(const PlannedModule& planned) {
  return !is_gpu(planned.device) || !is_gpu(planned.prefill_device);
}

std::vector<ExpertUse> experts_used(const Plan& plan) {
  std::vector<ExpertUse> uses;
  for (const auto& node : plan.model.graph.nodes) add_expert_use(plan, node, uses);
  return uses;
}

}  // namespace ktx::placement
