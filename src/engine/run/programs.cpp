// The programs of both phases.
#include "engine/run/programs.hpp"

#include <algorithm>

namespace ktx::engine {

Programs::Slots::Slots(const placement::Plan& plan, const Weights& weights, size_t places)
    : slots(places, std::vector<const int32_t*>(plan.model.modules.size(), nullptr)) {
  for (const auto& planned : plan.modules) {
    const auto& residents = planned.residents.experts;
    if (residents.empty()) continue;
    const auto* loaded = weights.find(planned.module, "gate");
    if (loaded == nullptr) continue;  // no expert is on the CPU
    auto& on_cpu = *numbers.emplace_back(std::make_unique<std::vector<int32_t>>(loaded->slots));
    for (int32_t e = 0; on_cpu.empty() && e < loaded->count; ++e) on_cpu.push_back(e);
    for (const int32_t e : residents) on_cpu[static_cast<size_t>(e)] = -1;
    slots.front()[static_cast<size_t>(planned.module)] = on_cpu.data();
  }
}

Programs::Programs(const placement::Plan& plan, const Weights& weights, const Devices& devices)
    : devices_(devices),
      slots_(plan, weights, devices.places().size()),
      prefill_(plan, weights, {module_places(plan, Phase::prefill), slots_.slots}, &devices,
               most_rows(plan, Phase::prefill)),
      decode_(plan, weights, {module_places(plan, Phase::decode), slots_.slots}, &devices,
              most_rows(plan, Phase::decode)) {}

int64_t most_rows(const placement::Plan& plan, Phase phase) noexcept {
  return phase == Phase::prefill ? plan.prefill_chunk : placement::max_decode_rows * plan.sessions;
}

std::vector<device::Queue*> cache_queues(const placement::Plan& plan, const Devices& devices) {
  if (!devices.has_gpus()) return {};
  std::vector<device::Queue*> queues(plan.model.info.caches.size(), nullptr);
  const auto places = module_places(plan, Phase::decode);
  for (const auto& node : plan.model.graph.nodes) {
    const auto* mla = std::get_if<graph::MlaParams>(&node.params);
    const auto* gqa = std::get_if<graph::GqaParams>(&node.params);
    if (mla == nullptr && gqa == nullptr) continue;
    const int place = places.of_module[static_cast<size_t>(node.module)].front();
    if (place > 0)
      queues[static_cast<size_t>(mla ? mla->cache : gqa->cache)] = &devices.queue(place);
  }
  return queues;
}

}  // namespace ktx::engine
