// Sums over a plan.
#include "placement/totals.hpp"

#include <algorithm>

namespace ktx::placement {

namespace {

void add_to_nodes(const PlannedModule& planned, std::vector<std::pair<int, uint64_t>>& nodes) {
  const auto count = static_cast<uint64_t>(nodes.size());
  for (size_t i = 0; i < nodes.size(); ++i) {
    auto& [id, bytes] = nodes[i];
    switch (planned.numa.kind) {
      case NumaKind::replicate:
        bytes += planned.bytes;
        break;
      case NumaKind::node:
        bytes += id == planned.numa.node ? planned.bytes : 0;
        break;
      case NumaKind::shard:
      case NumaKind::interleave:
        bytes += planned.bytes / count + (i < planned.bytes % count ? 1 : 0);
        break;
    }
  }
}

void add_expert_use(const graph::Node& node, std::vector<ExpertUse>& uses) {
  const auto* moe = std::get_if<graph::MoeParams>(&node.params);
  if (moe == nullptr) return;
  for (auto& use : uses)
    if (use.per_token == moe->top_k && use.experts == moe->experts) {
      use.layers.push_back(node.layer);
      return;
    }
  uses.push_back({moe->top_k, moe->experts, {node.layer}});
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
  for (const auto& node : plan.machine.nodes) sums.nodes.emplace_back(node.id, 0);
  for (const auto& planned : plan.modules) {
    const auto found = std::find_if(sums.devices.begin(), sums.devices.end(),
                                    [&](const auto& d) { return d.first == planned.device; });
    if (found == sums.devices.end())
      sums.devices.emplace_back(planned.device, planned.bytes);
    else
      found->second += planned.bytes;
    add_to_nodes(planned, sums.nodes);
    sums.weights += planned.bytes;
    sums.bytes_per_token += planned.bytes_per_token;
  }
  sums.memory = sums.weights + plan.cache_bytes + plan.scratch_bytes;
  for (const auto& node : plan.model.graph.nodes) add_expert_use(node, sums.experts);
  return sums;
}

}  // namespace ktx::placement
