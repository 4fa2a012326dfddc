// Checks of a plan against its machine.
#include <algorithm>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "core/base/text.hpp"
#include "placement/apply.hpp"
#include "placement/device_memory.hpp"
#include "placement/explain/folded.hpp"
#include "placement/explain/lint_checks.hpp"
#include "placement/explain/table.hpp"
#include "placement/prediction.hpp"
#include "placement/totals.hpp"
#include "placement/values.hpp"

namespace ktx::placement {

namespace {

// The modules of attention that keep a cache, by layer.
std::map<int, const PlannedModule*> caches_of(const Plan& plan) {
  std::map<int, const PlannedModule*> caches;
  for (const auto& planned : plan.modules)
    if (const auto& module = plan.module_of(planned); module.op == "mla" || module.op == "gqa")
      caches[module.layer] = &planned;
  return caches;
}

// Whether the CPU multiplies by any matrix. If not, there is nothing to move to a GPU.
bool computes_on_cpu(const Plan& plan) {
  return std::ranges::any_of(plan.modules, [&](const auto& planned) {
    const auto& op = plan.module_of(planned).op;
    return !is_gpu(planned.device) && (op == "linear" || op == "moe");
  });
}

}  // namespace

void find_numa_of_one_node(const Linted& linted, std::vector<Finding>& findings) {
  if (linted.plan.machine.nodes.size() > 1) return;
  for (const auto& rule : linted.rules.rules)
    if (rule.place.numa)
      findings.push_back({.where = file_and_line(rule.place.numa->where),
                          .message = "numa: " + to_string(rule.place.numa->value) + " of rule '" +
                                     rule.name +
                                     "': this machine has one node, all policies are "
                                     "the same there"});
}

void find_more_threads(const Linted& linted, std::vector<Finding>& findings) {
  const auto& plan = linted.plan;
  const int cores = plan.machine.core_count();
  if (plan.threads <= cores) return;
  findings.push_back({.where = who_set(plan, "threads"),
                      .message = plural(static_cast<size_t>(plan.threads), "thread") + " on " +
                                 plural(static_cast<size_t>(cores), "core") +
                                 ": threads of one core slow each other down"});
}

// A GPU on which kernels can't run is useless, and one with less memory than all GPUs in use would
// limit how much each of them can hold.
void find_unused_gpus(const Linted& linted, std::vector<Finding>& findings) {
  const auto& plan = linted.plan;
  std::optional<uint64_t> least;  // memory of those that are used
  for (const auto& used : plan.devices)
    if (is_gpu(used.device)) {
      const uint64_t memory = plan.gpu(used.device).memory_bytes;
      least = std::min(least.value_or(memory), memory);
    }
  std::vector<std::string> unused;
  for (size_t i = 0; i < plan.machine.gpus.size(); ++i) {
    const auto& gpu = plan.machine.gpus[i];
    const auto device = "cuda:" + std::to_string(i);
    if (plan.find_device(device) == nullptr && capability_refusal(gpu).empty() &&
        gpu.memory_bytes >= least.value_or(0))
      unused.push_back(device + " (" + gpu.name + ")");
  }
  if (unused.empty() || !computes_on_cpu(plan)) return;
  findings.push_back({.where = plan.rules_file,
                      .message = "nothing runs on " + base::join(unused) +
                                 "; `ktx-plan suggest` writes rules that use " +
                                 (unused.size() > 1 ? "them" : "it")});
}

void find_full_devices(const Linted& linted, std::vector<Finding>& findings) {
  const auto& plan = linted.plan;
  for (const auto& memory : plan.devices) {
    const auto has = memory_of(plan, memory.device);
    if (has == 0 || memory.most() + kept_free(memory.device, has) <= has) continue;
    const auto resident = std::ranges::find_if(plan.modules, [&](const auto& planned) {
      return !planned.residents.experts.empty() && planned.residents.device == memory.device;
    });
    const bool experts = resident != plan.modules.end();
    findings.push_back(
        {.where = experts ? resident->rule_where : plan.rules_file,
         .message = memory.device + " is full: the plan needs " +
                    base::format_bytes(memory.most()) + " of its " + base::format_bytes(has) +
                    ", and " +
                    (is_gpu(memory.device) ? "a display or other programs need some too"
                                           : "the system needs some too") +
                    (experts ? "; fewer resident experts would leave more" : "")});
  }
}

void find_idle_streams(const Linted& linted, std::vector<Finding>& findings) {
  const auto& plan = linted.plan;
  if (plan.predicted_prefill.empty()) return;
  for (const auto& rule : linted.rules.rules) {
    if (!rule.prefill || !rule.prefill->stream || !rule.prefill->stream->value) continue;
    double most = -1;  // of its modules
    for (const auto& planned : plan.modules)
      if (planned.rule_name == rule.name) most = std::max(most, planned.stream_share);
    if (most >= 0 && most < least_stream)
      findings.push_back(
          {.where = file_and_line(rule.prefill->stream->where),
           .message = "stream of rule '" + rule.name +
                      "': hardly any expert is predicted to be streamed through the GPU in "
                      "slices of " +
                      std::to_string(plan.prefill_chunk) + " tokens"});
  }
}

void find_idle_deferral(const Linted& linted, std::vector<Finding>& findings) {
  const auto& plan = linted.plan;
  const auto attention = caches_of(plan);
  std::map<int, const PlannedModule*> routers;
  for (const auto& planned : plan.modules)
    if (const auto& module = plan.module_of(planned); module.op == "router")
      routers[module.layer] = &planned;
  const auto on_cpu = [](const auto& of_layers, int layer) {
    const auto found = of_layers.find(layer);
    return found != of_layers.end() && !is_gpu(found->second->device);
  };
  // Why it saves nothing that experts of the layer before are deferred; empty: it may.
  const auto idle_beside = [&](int layer) -> std::string {
    if (on_cpu(attention, layer))
      return "attention of layer " + std::to_string(layer) +
             " is on the cpu too: nothing runs at the same time";
    if (on_cpu(routers, layer))
      return "the router of layer " + std::to_string(layer) +
             " is on the cpu too: they run behind attention, not beside it";
    return "";
  };
  for (const auto& rule : linted.rules.rules) {
    const auto& place = rule.decode && rule.decode->defer ? *rule.decode : rule.place;
    if (!place.defer || place.defer->value == 0) continue;
    std::string why = "no later layer has experts on the cpu to add them to";
    bool defers = false;
    for (const auto& planned : plan.modules) {
      if (planned.rule_name != rule.name || planned.deferred == 0) continue;
      if (!std::exchange(defers, true)) why.clear();
      if (why.empty()) why = idle_beside(plan.module_of(planned).layer + 1);
    }
    if (!why.empty())
      findings.push_back({.where = file_and_line(rule.where),
                          .message = "rule '" + rule.name + "' defers experts, but " + why});
  }
}

void find_split_attention(const Linted& linted, std::vector<Finding>& findings) {
  const auto caches = caches_of(linted.plan);
  std::map<std::string, std::pair<const PlannedModule*, std::set<int>>> split;  // by rule
  for (const auto& planned : linted.plan.modules) {
    const auto& module = linted.plan.module_of(planned);
    const auto cache = caches.find(module.layer);
    if (!module.has_class("attention") || cache == caches.end() ||
        cache->second->device == planned.device)
      continue;
    auto& [first, layers] = split[planned.rule_where];
    if (first == nullptr) first = &planned;
    layers.insert(module.layer);
  }
  for (const auto& [where, found] : split) {
    const auto& module = linted.plan.module_of(*found.first);
    findings.push_back({.where = where,
                        .message = "rule '" + found.first->rule_name + "' puts " + module.path +
                                   " on " + found.first->device +
                                   ", but its layer's KV cache is on " +
                                   caches.at(module.layer)->device + "; so in " +
                                   plural(found.second.size(), "layer")});
  }
}

void find_alternating_layers(const Linted& linted, std::vector<Finding>& findings) {
  std::set<std::string> devices;
  const PlannedModule* before = nullptr;
  const PlannedModule* returning = nullptr;
  size_t changes = 0;
  for (const auto& [layer, planned] : caches_of(linted.plan)) {
    if (before == nullptr || before->device != planned->device) {
      changes += before != nullptr;
      if (!devices.insert(planned->device).second && returning == nullptr) returning = planned;
    }
    before = planned;
  }
  if (returning == nullptr) return;
  findings.push_back({.where = returning->rule_where,
                      .message = "attention returns to " + returning->device + " in layer " +
                                 std::to_string(linted.plan.module_of(*returning).layer) +
                                 ": a token changes devices " + std::to_string(changes) +
                                 " times where " + plural(devices.size() - 1, "change") +
                                 " would do; spread: layers gives each device one range"});
}

}  // namespace ktx::placement
