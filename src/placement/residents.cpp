// Experts that stay on a GPU.
#include "placement/residents.hpp"

#include <algorithm>
#include <numeric>
#include <random>

#include "core/base/error.hpp"
#include "core/base/text.hpp"
#include "placement/device_memory.hpp"
#include "placement/kernel_choice.hpp"

namespace ktx::placement {

namespace {

int expert_count(const graph::Module& module) {
  return static_cast<int>(module.weights.front().count);
}

void check_numbers(const std::vector<int>& experts, const graph::Module& module,
                   const std::string& what, const std::string& where) {
  for (const int expert : experts)
    if (expert >= expert_count(module))
      throw_input(what + " names expert " + std::to_string(expert) + ", but " + module.path +
                      " has " + std::to_string(expert_count(module)) + ", counted from 0",
                  where);
}

// Experts of the module in the order in which they become residents.
std::vector<int> order_of(const ResidentExperts& asked, const graph::Module& module) {
  if (asked.listed) {
    check_numbers(asked.listed->value, module, "experts: list", asked.listed->where);
    return asked.listed->value;
  }
  if (asked.profile) {
    const auto found = asked.order.find(module.layer);
    if (found == asked.order.end())
      throw_input("experts: " + asked.profile->value + " has no layer " +
                      std::to_string(module.layer) + ", whose experts the rule matches",
                  asked.profile->where);
    check_numbers(found->second, module, "experts: " + asked.profile->value, asked.profile->where);
    return found->second;
  }
  std::vector<int> order(static_cast<size_t>(expert_count(module)));
  std::iota(order.begin(), order.end(), 0);
  if (!asked.random) return order;
  // Fisher-Yates, because std::shuffle may differ between standard libraries.
  std::mt19937 draw(static_cast<uint32_t>(module.layer));
  for (size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[draw() % i]);
  return order;
}

// Makes the first `count` of the order resident; the CPU keeps the rest of the weights.
void make_resident(const std::vector<int>& order, size_t count, const graph::Module& module,
                   PlannedModule& planned) {
  auto& residents = planned.residents;
  residents.experts.assign(order.begin(), order.begin() + static_cast<ptrdiff_t>(count));
  std::ranges::sort(residents.experts);
  residents.bytes = count * expert_bytes(planned, module);
  const auto left = static_cast<uint64_t>(expert_count(module)) - (residents.keep_ram ? 0 : count);
  for (auto& weight : planned.weights) {
    weight.bytes = 0;
    for (auto& part : weight.parts) {
      part.bytes = left * static_cast<uint64_t>(part.matrix_bytes);
      weight.bytes += part.bytes;
    }
  }
}

// The modules of a rule whose residents are limited by a size on one GPU.
struct Filling {
  const Given<ResidentExperts>* asked;
  std::string device;
  std::vector<PlannedModule*> modules;
  std::vector<std::vector<int>> orders;
};

std::vector<Filling> fillings_of(const Rule& rule, Plan& plan) {
  std::vector<Filling> fillings;
  for (auto& planned : plan.modules) {
    if (planned.rule_name != rule.name) continue;
    const auto& device = planned.residents.device;
    auto found = std::ranges::find(fillings, device, &Filling::device);
    if (found == fillings.end())
      found = fillings.insert(found, {&*rule.place.experts, device, {}, {}});
    found->modules.push_back(&planned);
    found->orders.push_back(order_of(rule.place.experts->value, plan.module_of(planned)));
  }
  return fillings;
}

// Adds one expert per layer in turn, until the next one does not fit.
void fill(const Filling& filling, uint64_t room, const Plan& plan) {
  std::vector<size_t> counts(filling.modules.size(), 0);
  for (bool fits = true; fits;) {
    bool added = false;
    for (size_t i = 0; i < counts.size() && fits; ++i) {
      const auto& module = plan.module_of(*filling.modules[i]);
      const size_t most =
          std::min(filling.orders[i].size(), static_cast<size_t>(expert_count(module)) - 1);
      const uint64_t bytes = expert_bytes(*filling.modules[i], module);
      if (counts[i] == most) continue;
      if (!(fits = bytes <= room)) break;
      room -= bytes;
      ++counts[i];
      added = true;
    }
    fits = fits && added;
  }
  if (std::ranges::find(counts, size_t{0}) != counts.end())
    throw_environment("experts: vram: " + base::format_bytes(*filling.asked->value.vram) + " on " +
                          filling.device + " does not hold one expert of each layer besides " +
                          "what else the plan has there",
                      filling.asked->where,
                      {"a larger size, a shorter context or a smaller prefill_chunk would help"});
  for (size_t i = 0; i < counts.size(); ++i)
    make_resident(filling.orders[i], counts[i], plan.module_of(*filling.modules[i]),
                  *filling.modules[i]);
}

}  // namespace

uint64_t expert_bytes(const PlannedModule& planned, const graph::Module& module) {
  uint64_t bytes = 0;
  for (size_t i = 0; i < planned.weights.size(); ++i)
    bytes +=
        static_cast<uint64_t>(ops::packed_bytes(ops::Layout::x16, planned.weights[i].format,
                                                module.weights[i].rows, module.weights[i].cols));
  return bytes;
}

void check_experts_on_gpu(const PlannedModule& planned, const graph::Module& module,
                          std::string_view key, const std::string& device,
                          const std::string& where) {
  const std::string start =
      std::string(key) + ": " + device + " can't run experts of " + module.path + ": ";
  std::vector<quant::Format> formats;
  for (const auto& weight : planned.weights) {
    formats.push_back(weight.format);
    if (weight.layout != ops::Layout::x16)
      throw_input(start + "moe.cuda reads groups of 16 rows, the CPU's kernel moe." +
                      planned.decode.name + " reads '" + weight.role + "' row by row",
                  where);
  }
  const auto reason = gpu_refusal(graph::Op::moe, module, formats);
  if (!reason.empty())
    throw_input(start + "moe.cuda " + reason, where,
                {"formats that it runs: " + gpu_formats(graph::Op::moe, module)});
}

void start_residents(const Given<ResidentExperts>& asked, const std::string& on,
                     const graph::Module& module, PlannedModule& planned) {
  const auto& [experts, where] = asked;
  if (planned.device != "cpu" || !planned.prefill_weights.empty())
    throw_input("experts: some stay on a GPU while the cpu runs the others, but " + module.path +
                    (planned.device != "cpu" ? " is on " + planned.device
                                             : " has a copy on " + planned.prefill_device),
                where, {"place: {device: cpu}, with prefill: {stream: yes} at most"});
  const auto& device = on.empty() ? planned.prefill_device : on;
  if (device == "cpu")
    throw_input("experts: 'on:' is missing, the GPU that holds them", where,
                {"without it they stay where prompts run: prefill: {device: cuda:0, stream: yes}"});
  check_experts_on_gpu(planned, module, "experts", device, where);
  planned.residents.device = device;
  planned.residents.keep_ram = experts.keep_ram;
  const auto order = order_of(experts, module);
  const auto count = static_cast<size_t>(
      experts.vram ? 1 : experts.count.value_or(static_cast<int64_t>(order.size())));
  if (count >= static_cast<size_t>(expert_count(module)))
    throw_input("experts: " + std::to_string(count) + " of the " +
                    std::to_string(expert_count(module)) + " experts of " + module.path +
                    " can't stay on " + device + ": some are left for the cpu",
                where, {"place: {device: '" + device + "'} runs all of them there"});
  if (count > order.size())
    throw_input("experts: resident: " + std::to_string(count) + ", but only " +
                    std::to_string(order.size()) + " of " + module.path + " are listed",
                where);
  make_resident(order, count, module, planned);
}

void fill_residents(const Rules& rules, Plan& plan) {
  for (const auto& rule : rules.rules) {
    if (!rule.place.experts || !rule.place.experts->value.vram) continue;
    const uint64_t vram = *rule.place.experts->value.vram;
    for (const auto& filling : fillings_of(rule, plan)) {
      uint64_t others = plan.find_device(filling.device)->most();
      for (const auto* planned : filling.modules) others -= planned->residents.bytes;
      fill(filling, vram > others ? vram - others : 0, plan);
      count_weights(plan);
    }
  }
}

}  // namespace ktx::placement
