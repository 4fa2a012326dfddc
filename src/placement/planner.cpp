// The planner.
#include "placement/planner.hpp"

#include "core/base/error.hpp"
#include "placement/device_memory.hpp"
#include "placement/keywords.hpp"
#include "placement/match.hpp"
#include "placement/place_module.hpp"
#include "placement/prediction.hpp"
#include "placement/residents.hpp"

namespace ktx::placement {

namespace {

// Settings of the plan as a whole; its machine and model are there.
void apply_settings(const Rules& rules, const PlanOptions& options, Plan& plan) {
  const Setup setup{rules, options, plan};
  for (const auto& keyword : model_keywords()) keyword.apply(setup);
  for (const auto& keyword : cache_keywords()) keyword.apply(setup);
  for (const auto& keyword : file_keywords())
    if (keyword.apply != nullptr) keyword.apply(setup);
  plan.cache_pages = plan.sessions * graph::pages_of(plan.cache_length);
}

// A format that applies to no module of its rule is a mistake, not a way to keep norms as they are.
void check_format_applies(const Rule& rule, const Plan& plan) {
  if (!rule.place.format) return;
  const PlannedModule* first = nullptr;
  for (const auto& planned : plan.modules) {
    if (planned.rule_name != rule.name) continue;
    if (planned.note.empty() && !planned.weights.empty()) return;
    if (first == nullptr || first->note.empty()) first = &planned;
  }
  if (first == nullptr || !rule.place.format->value) return;
  const auto& path = plan.model.modules[static_cast<size_t>(first->module)].path;
  throw_input("format " + std::string(quant::name(*rule.place.format->value)) + ": rule '" +
                  rule.name + "' matches no module whose weights can be stored in another format",
              rule.place.format->where,
              {path + ": " + (first->note.empty() ? "has no weights" : first->note),
               "leave the format out, or use keep"});
}

void sum_up_rules(const Rules& rules, Plan& plan) {
  for (const auto& rule : rules.rules) {
    PlannedRule sum{rule.name, file_and_line(rule.where), rule.text};
    for (const auto& planned : plan.modules)
      if (planned.rule_name == rule.name) {
        ++sum.modules;
        sum.bytes += planned.bytes;
      }
    plan.rules.push_back(std::move(sum));
  }
}

}  // namespace

Plan make_plan(const Rules& rules, graph::Model model, hw::Machine machine,
               const PlanOptions& options) {
  for (const auto& keyword : machine_keywords()) keyword.apply(rules.machine, machine);
  Plan plan;
  plan.rules_file = rules.file;
  plan.machine = std::move(machine);
  plan.model = std::move(model);
  apply_settings(rules, options, plan);

  const auto assigned = assign_rules(rules, plan.model);
  for (size_t i = 0; i < assigned.size(); ++i) {
    if (assigned[i] < 0) continue;
    const auto& rule = rules.rules[static_cast<size_t>(assigned[i])];
    plan.modules.push_back(place_module(rule, plan.model.modules[i], plan));
    plan.modules.back().module = static_cast<int>(i);
  }
  defer_none_at_last(plan);
  for (const auto& rule : rules.rules) check_format_applies(rule, plan);
  sum_up_memory(plan);
  if (options.run_memory) add_run_memory(options.run_memory(plan), plan);
  fill_residents(rules, plan);
  sum_up_rules(rules, plan);
  predict(plan);
  check_memory(plan);
  return plan;
}

}  // namespace ktx::placement
