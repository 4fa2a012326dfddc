// Folding a plan's modules.
#include "placement/explain/folded.hpp"

#include <algorithm>
#include <map>

#include "core/base/text.hpp"
#include "placement/totals.hpp"
#include "placement/weights.hpp"

namespace ktx::placement {

namespace {

// The module's path with `*` for its layer's number.
std::string folded_path(const graph::Module& module) {
  const std::string number = "." + std::to_string(module.layer) + ".";
  const size_t at = module.path.find(number);
  if (module.layer < 0 || at == std::string::npos) return module.path;
  return module.path.substr(0, at) + ".*." + module.path.substr(at + number.size());
}

// "q4_k", or "gate,up q4_k; down q6_k". Vectors are listed only if there are no matrices.
std::string formats_text(const graph::Module& module, const std::vector<PlannedWeight>& planned) {
  std::vector<std::pair<std::string, std::vector<std::string>>> groups;
  const bool matrix = std::any_of(module.weights.begin(), module.weights.end(),
                                  [](const graph::Weight& w) { return !w.is_vector(); });
  for (size_t i = 0; i < planned.size(); ++i) {
    if (matrix && module.weights[i].is_vector()) continue;
    std::string text = format_text(planned[i], module.weights[i].transposed);
    const auto found = std::find_if(groups.begin(), groups.end(),
                                    [&](const auto& group) { return group.first == text; });
    if (found == groups.end())
      groups.push_back({std::move(text), {planned[i].role}});
    else
      found->second.push_back(planned[i].role);
  }
  if (groups.empty()) return "-";
  if (groups.size() == 1) return groups.front().first;
  std::vector<std::string> parts;
  for (const auto& [text, roles] : groups) parts.push_back(base::join(roles, ",") + " " + text);
  return base::join(parts, "; ");
}

// The formats of both phases, if they differ.
std::string formats_text(const graph::Module& module, const PlannedModule& planned) {
  std::string text = formats_text(module, planned.weights);
  if (planned.prefill_weights.empty()) return text;
  const auto prefill = formats_text(module, planned.prefill_weights);
  return prefill == text ? text : text + " / " + prefill;
}

std::string op_text(const graph::Module& module, const PlannedModule& planned) {
  std::string text = module.op + "." + planned.decode.name;
  if (planned.prefill.name != planned.decode.name || planned.stream)
    text += " / " + planned.prefill.name;
  if (planned.stream) text += " + cuda";
  return text;
}

// "cpu"; "cpu / cuda:0" if prompts run elsewhere; "cpu / cpu + cuda:0" if they run on both;
// followed by " (16 on cuda:0)" for resident experts and " (defers 2)" for deferred ones.
std::string device_text(const PlannedModule& planned) {
  std::string text = planned.device;
  if (planned.prefill_device != planned.device)
    text += (planned.stream ? " / " + planned.device + " + " : " / ") + planned.prefill_device;
  if (planned.deferred > 0) text += " (defers " + std::to_string(planned.deferred) + ")";
  const auto& residents = planned.residents;
  if (residents.experts.empty()) return text;
  return text + " (" + std::to_string(residents.experts.size()) + " on " + residents.device + ")";
}

std::string numa_text(const PlannedModule& planned) {
  return has_numa(planned) ? to_string(planned.numa) : "-";
}

bool alike(const FoldedModule& a, const FoldedModule& b) {
  return a.path == b.path && a.op == b.op && a.device == b.device && a.format == b.format &&
         a.numa == b.numa && a.rule_where == b.rule_where && a.rule_name == b.rule_name;
}

FoldedModule folded_alone(const Plan& plan, const PlannedModule& planned) {
  const auto& module = plan.module_of(planned);
  return {.path = folded_path(module),
          .op = op_text(module, planned),
          .device = device_text(planned),
          .format = formats_text(module, planned),
          .numa = numa_text(planned),
          .rule_where = planned.rule_where,
          .rule_name = planned.rule_name};
}

void group_by_path(std::vector<FoldedModule>& folded) {
  std::map<std::string, size_t> first;
  for (const auto& row : folded) first.emplace(row.path, first.size());
  std::ranges::stable_sort(folded, {}, [&](const auto& row) { return first.at(row.path); });
}

}  // namespace

std::vector<FoldedModule> folded_modules(const Plan& plan) {
  std::vector<FoldedModule> folded;
  for (size_t i = 0; i < plan.modules.size(); ++i) {
    const auto& planned = plan.modules[i];
    auto one = folded_alone(plan, planned);
    auto row = std::ranges::find_if(folded, [&](const auto& other) { return alike(one, other); });
    if (row == folded.end()) row = folded.insert(folded.end(), std::move(one));
    const int layer = plan.module_of(planned).layer;
    if (layer >= 0) row->layers.push_back(layer);
    row->modules.push_back(i);
    row->bytes += planned.bytes;
  }
  group_by_path(folded);
  return folded;
}

}  // namespace ktx::placement
