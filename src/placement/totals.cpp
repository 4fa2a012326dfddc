// Sums over a plan.
#include "placement/totals.hpp"

#include <algorithm>

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

}  // namespace

std::vector<LayerRange> ranges_of(const std::vector<int>& layers) {
  std::vector<LayerRange> ranges;
  for (const int layer : layers)
    if (!ranges.empty() && ranges.back().last + 1 == layer)
      ranges.back().last = layer;
    else
      ranges.push_back({layer, layer});
  return ranges;
}

Totals totals(const Plan& plan) {
  Totals sums;
  for (const auto& planned : plan.modules) {
    const auto found = std::find_if(sums.devices.begin(), sums.devices.end(),
                                    [&](const auto& d) { return d.first == planned.device; });
    if (found == sums.devices.end())
      sums.devices.emplace_back(planned.device, planned.bytes);
    else
      found->second += planned.bytes;
  }
  sums.memory = plan.memory_bytes();
  for (const auto& node : plan.model.graph.nodes) add_expert_use(plan, node, sums.experts);
  return sums;
}

}  // namespace ktx::placement
