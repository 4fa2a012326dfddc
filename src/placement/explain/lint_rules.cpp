// Checks of a rules file against the model.
#include <algorithm>
#include <optional>

#include "core/base/text.hpp"
#include "ktx/error.hpp"
#include "ops/kernels.hpp"
#include "placement/apply.hpp"
#include "placement/explain/asked.hpp"
#include "placement/explain/folded.hpp"
#include "placement/explain/lint_checks.hpp"
#include "placement/explain/table.hpp"
#include "placement/match.hpp"
#include "placement/place_module.hpp"
#include "placement/weights.hpp"

namespace ktx::placement {

namespace {

constexpr double fewest_bits = 6;  // of heads: published files keep them at q6_k or more

// The module's placement by that rule; nothing if the rule can't place it.
std::optional<PlannedModule> placed_by(const Rule& rule, const graph::Module& module,
                                       const Plan& plan) {
  try {
    return place_module(rule, module, plan);
  } catch (const Error&) {
    return std::nullopt;
  }
}

bool same_weights(const std::vector<PlannedWeight>& a, const std::vector<PlannedWeight>& b) {
  return std::ranges::equal(a, b, [](const auto& x, const auto& y) {
    return x.format == y.format && x.layout == y.layout;
  });
}

bool same_place(const PlannedModule& a, const PlannedModule& b) {
  return a.device == b.device && a.prefill_device == b.prefill_device && a.stream == b.stream &&
         a.deferred == b.deferred && a.decode.name == b.decode.name &&
         a.prefill.name == b.prefill.name && a.numa == b.numa &&
         same_weights(a.weights, b.weights) && same_weights(a.prefill_weights, b.prefill_weights);
}

// The rule that would decide the module if rules[index] were removed; null: none.
const Rule* next_match(const Rules& rules, size_t index, const graph::Module& module) {
  for (size_t i = index + 1; i < rules.rules.size(); ++i)
    if (matches(rules.rules[i].match, module)) return &rules.rules[i];
  return nullptr;
}

// The rule that would place the module in the same way if rules[index], which decides it, were
// removed; null: none. Resident experts always count as a difference.
const Rule* substitute(const Linted& linted, size_t index, const PlannedModule& planned) {
  const auto& module = linted.plan.module_of(planned);
  const auto& rule = linted.rules.rules[index];
  const auto* next = next_match(linted.rules, index, module);
  if (next == nullptr || rule.place.experts || next->place.experts) return nullptr;
  const auto here = placed_by(rule, module, linted.plan);
  const auto there = placed_by(*next, module, linted.plan);
  return here && there && same_place(*here, *there) ? next : nullptr;
}

void find_repeated(const char* phase, const std::optional<Place>& place, const Rule& rule,
                   std::vector<Finding>& findings) {
  if (!place) return;
  for (const auto& key : place_keys()) {
    const auto where = key.where(*place);
    if (where.empty()) continue;
    const bool given = !key.where(rule.place).empty();
    const std::string before = given ? key.value(rule.place) : std::string(key.otherwise);
    if (before == key.value(*place))
      findings.push_back({.where = file_and_line(where),
                          .message = std::string(phase) + ": " + std::string(key.name) +
                                     " of rule '" + rule.name + "' is " + before +
                                     (given ? " in place too" : " by default too") +
                                     "; leave it out"});
  }
}

// Counts the modules of the rule for which the predicate holds.
template <class Holds>
size_t count_modules(const Linted& linted, const Rule& rule, Holds holds) {
  return static_cast<size_t>(std::ranges::count_if(linted.plan.modules, [&](const auto& planned) {
    return planned.rule_name == rule.name && holds(planned);
  }));
}

bool is_float(quant::Format format) {
  return format == quant::Format::f32 || format == quant::Format::f16 ||
         format == quant::Format::bf16 || format == quant::Format::fp8;
}

// The matrices whose format the rule itself changes.
template <class Report>
void for_each_asked(const Linted& linted, const PlannedModule& planned, Report report) {
  const auto& rule = deciding_rule(linted.rules, planned);
  if (!rule.place.format || !rule.place.format->value) return;
  const auto& module = linted.plan.module_of(planned);
  for (size_t i = 0; i < planned.weights.size(); ++i) {
    const auto& weight = planned.weights[i];
    if (weight.format == *rule.place.format->value && weight.format != weight.source &&
        !module.weights[i].is_vector() && !module.weights[i].transposed)
      report(rule, module, weight);
  }
}

}  // namespace

void find_rules_for_other_models(const Linted& linted, std::vector<Finding>& findings) {
  for (const auto& rule : linted.rules.rules)
    if (const auto why = not_in_model(rule.match, linted.plan.model); !why.empty())
      findings.push_back({.where = file_and_line(rule.match.where),
                          .message = "rule '" + rule.name + "' is for other models: " + why});
}

void find_rules_without_effect(const Linted& linted, std::vector<Finding>& findings) {
  for (size_t r = 0; r < linted.rules.rules.size(); ++r) {
    const auto& rule = linted.rules.rules[r];
    const auto count = count_modules(linted, rule, [](const auto&) { return true; });
    if (count == 0) continue;
    const Rule* other = nullptr;
    const bool needed = std::ranges::any_of(linted.plan.modules, [&](const auto& planned) {
      if (planned.rule_name != rule.name) return false;
      other = substitute(linted, r, planned);
      return other == nullptr;
    });
    if (needed) continue;
    findings.push_back({.where = file_and_line(rule.where),
                        .message = "rule '" + rule.name + "' changes nothing: without it '" +
                                   other->name + "' would place its " + plural(count, "module") +
                                   " the same"});
  }
}

void find_repeated_settings(const Linted& linted, std::vector<Finding>& findings) {
  for (const auto& rule : linted.rules.rules) {
    find_repeated("decode", rule.decode, rule, findings);
    find_repeated("prefill", rule.prefill, rule, findings);
  }
}

void find_layers_beyond_model(const Linted& linted, std::vector<Finding>& findings) {
  const int layers = linted.plan.model.info.layers;
  for (const auto& rule : linted.rules.rules) {
    if (!rule.match.layers || rule.match.layers->value.back().last < layers) continue;
    findings.push_back({.where = file_and_line(rule.match.layers->where),
                        .message = "rule '" + rule.name + "' is for layers " +
                                   base::shortened(to_string(rule.match.layers->value), 80) +
                                   ", but the model's last is " + std::to_string(layers - 1)});
  }
}

void find_slower_kernels(const Linted& linted, std::vector<Finding>& findings) {
  for (const auto& rule : linted.rules.rules) {
    if (!rule.place.op || rule.place.op->kernel == "auto") continue;
    Rule free = rule;
    free.place.op.reset();
    const auto better = [&](const PlannedModule& planned) {
      const auto& module = linted.plan.module_of(planned);
      const auto other = placed_by(free, module, linted.plan);
      const auto op = op_of(module);
      return other &&
             ops::find_kernel(op, other->decode.name) < ops::find_kernel(op, planned.decode.name);
    };
    const auto first = std::ranges::find_if(linted.plan.modules, [&](const auto& planned) {
      return planned.rule_name == rule.name && better(planned);
    });
    if (first == linted.plan.modules.end()) continue;
    const auto& module = linted.plan.module_of(*first);
    const auto other = placed_by(free, module, linted.plan);
    findings.push_back({.where = file_and_line(rule.place.op->where),
                        .message = "rule '" + rule.name + "' names " + module.op + "." +
                                   first->decode.name + "; auto would take " + module.op + "." +
                                   other->decode.name + " for " +
                                   plural(count_modules(linted, rule, better), "module")});
  }
}

void find_coarse_heads(const Linted& linted, std::vector<Finding>& findings) {
  for (const auto& planned : linted.plan.modules)
    for_each_asked(
        linted, planned,
        [&](const Rule& rule, const graph::Module& module, const PlannedWeight& weight) {
          if (!module.has_class("head") && !module.has_class("embedding")) return;
          if (quant::bits_per_weight(weight.format) >= fewest_bits) return;
          findings.push_back(
              {.where = file_and_line(rule.place.format->where),
               .message = module.path + " in " + std::string(quant::name(weight.format)) +
                          ": every token passes through it; int8 costs little memory "
                          "and loses hardly anything"});
        });
}

void find_requantized(const Linted& linted, std::vector<Finding>& findings) {
  for (const auto& rule : linted.rules.rules) {
    const PlannedWeight* first = nullptr;
    const auto asked = [&](const PlannedModule& planned) {
      bool found = false;
      for_each_asked(linted, planned, [&](const Rule&, const graph::Module&, const auto& weight) {
        if (is_float(weight.source) &&
            quant::bits_per_weight(weight.format) <= quant::bits_per_weight(weight.source))
          return;
        if (first == nullptr) first = &weight;
        found = true;
      });
      return found;
    };
    const size_t count = count_modules(linted, rule, asked);
    if (count == 0) continue;
    const bool wider =
        quant::bits_per_weight(first->format) > quant::bits_per_weight(first->source);
    findings.push_back({.where = file_and_line(rule.place.format->where),
                        .message = "rule '" + rule.name + "' stores " + plural(count, "module") +
                                   " as " + std::string(quant::name(first->format)) +
                                   ", but the checkpoint has " +
                                   std::string(quant::name(first->source)) +
                                   (wider ? ": more bytes to read, nothing gained"
                                          : ": quantizing twice adds the errors of both") +
                                   "; format: keep leaves it as it is"});
  }
}

void find_untrained_context(const Linted& linted, std::vector<Finding>& findings) {
  const auto& plan = linted.plan;
  const int64_t trained = plan.model.info.context;
  if (trained <= 0 || plan.cache_length <= trained) return;
  findings.push_back({.where = who_set(plan, "context"),
                      .message = "a context of " + std::to_string(plan.cache_length) +
                                 " tokens, but the model was trained for " +
                                 std::to_string(trained) + ": the KV cache takes " +
                                 base::format_bytes(plan.cache_bytes())});
}

void find_more_experts(const Linted& linted, std::vector<Finding>& findings) {
  const auto& plan = linted.plan;
  const int trained = plan.model.info.experts_per_token;
  const auto most = std::ranges::max_element(plan.experts_per_token);
  if (trained <= 0 || most == plan.experts_per_token.end() || *most <= trained) return;
  findings.push_back({.where = who_set(plan, "experts_per_token"),
                      .message = std::to_string(*most) +
                                 " experts a token, but the model was trained with " +
                                 std::to_string(trained) + ": slower, and not better"});
}

}  // namespace ktx::placement
