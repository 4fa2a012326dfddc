// The programs of both phases.
#include "engine/run/programs.hpp"

#include <algorithm>
#include <utility>

#include "ops/linear/linear.hpp"

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
      ropes_(plan.cache_length, &devices),
      prefill_(plan, weights, {module_places(plan, Phase::prefill), slots_.slots},
               most_rows(plan, Phase::prefill), &devices, &ropes_),
      decode_(plan, weights, {module_places(plan, Phase::decode), slots_.slots},
              most_rows(plan, Phase::decode), &devices, &ropes_) {}

MostRows most_rows(const placement::Plan& plan, Phase phase) noexcept {
  if (phase == Phase::prefill) return {plan.prefill_chunk, plan.prefill_chunk};
  return {plan.decode_rows(), ops::decode_tokens};
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

ExpertStreamShape stream_shape(const placement::Plan& plan, const std::string& device) {
  ExpertStreamShape shape;
  for (const auto& planned : plan.modules) {
    if (!planned.stream || planned.prefill_device != device) continue;
    for (const auto& weight : planned.weights) {
      const auto& stored = *plan.module_of(planned).find(weight.role);
      const int64_t bytes =
          ops::packed_bytes(weight.layout, weight.format, stored.rows, stored.cols);
      auto& most = weight.role == "down" ? shape.down_bytes : shape.gate_bytes;
      most = std::max(most, bytes);
    }
  }
  return shape;
}

std::vector<placement::DeviceMemory> step_memory(const placement::Plan& plan) {
  const Weights weights(plan);
  const auto places = places_of(plan);
  std::vector<placement::DeviceMemory> out(places.size());
  for (size_t p = 0; p < places.size(); ++p) out[p].device = device::to_string(places[p]);
  for (const Phase phase : {Phase::prefill, Phase::decode}) {
    const auto memory =
        program_memory(plan, weights, module_places(plan, phase), most_rows(plan, phase));
    for (size_t p = 0; p < places.size(); ++p) {
      out[p].activations += static_cast<uint64_t>(memory.values[p]);
      out[p].scratch += memory.scratch[p];
    }
  }
  for (auto& of : out) {
    if (of.device == out.front().device) continue;
    of.scratch += cuda_kit_bytes();
    const auto shape = stream_shape(plan, of.device);
    if (shape.gate_bytes > 0) of.streaming = static_cast<uint64_t>(ExpertStream::bytes(shape));
  }
  const auto modules = module_places(plan, Phase::decode);
  std::vector<std::pair<const graph::Rope*, int>> known;
  for (const auto& node : plan.model.graph.nodes) {
    const auto* rope = rope_of(node.params);
    if (rope == nullptr) continue;
    // A GPU's table is computed on the CPU first.
    for (const int place : {0, modules.of_module[static_cast<size_t>(node.module)].front()}) {
      if (std::ranges::any_of(known, [&](const auto& k) {
            return k.second == place && same_rope(*k.first, *rope);
          }))
        continue;
      known.emplace_back(rope, place);
      out[static_cast<size_t>(place)].rope_tables +=
          ops::RopeTable::bytes(*rope, plan.cache_length);
    }
  }
  return out;
}

}  // namespace ktx::engine
