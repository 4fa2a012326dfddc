// The table of checks. To add one: a row here, what it finds in lint_rules.cpp or lint_machine.cpp.
#include "placement/explain/lint.hpp"

#include <algorithm>

#include "placement/explain/lint_checks.hpp"

namespace ktx::placement {

namespace {

constexpr LintCheck checks[] = {
    {"not-in-model", "a rule for modules that this kind of model does not have",
     find_rules_for_other_models},
    {"no-effect", "a rule that changes the placement of no module", find_rules_without_effect},
    {"repeated", "a key of decode or prefill that changes nothing", find_repeated_settings},
    {"layers-beyond-model", "layers that the model does not have", find_layers_beyond_model},
    {"slower-kernel", "a named kernel where auto would choose a better one", find_slower_kernels},
    {"coarse-head", "an embedding or a head quantized to less than 6 bits", find_coarse_heads},
    {"requantized",
     "weights that are quantized a second time, or stored with more bits than they have",
     find_requantized},
    {"untrained-context", "a longer context than the model was trained for",
     find_untrained_context},
    {"more-experts", "more experts per token than the model was trained with", find_more_experts},
    {"numa-of-one-node", "a NUMA policy on a machine of one node", find_numa_of_one_node},
    {"more-threads", "more threads than cores", find_more_threads},
    {"unused-gpu", "a GPU that nothing runs on", find_unused_gpus},
    {"nearly-full", "a device whose memory the plan fills to the last few hundred MiB",
     find_full_devices},
    {"idle-stream", "streaming of experts through a GPU that is predicted to stream hardly any",
     find_idle_streams},
    {"idle-deferral", "deferred experts where no GPU runs the next layer meanwhile",
     find_idle_deferral},
    {"split-attention", "attention of one layer on several devices", find_split_attention},
    {"alternating-layers", "layers that go back and forth between devices",
     find_alternating_layers},
};

}  // namespace

std::string to_string(const Finding& finding) {
  return finding.where + ": " + finding.message + " [" + finding.check + "]";
}

std::span<const LintCheck> lint_checks() noexcept {
  return checks;
}

std::vector<Finding> lint(const Rules& rules, const Plan& plan) {
  std::vector<Finding> findings;
  for (const auto& check : checks) {
    const size_t before = findings.size();
    check.find({rules, plan}, findings);
    for (size_t i = before; i < findings.size(); ++i) findings[i].check = check.name;
  }
  return findings;
}

std::string who_set(const Plan& plan, const std::string& setting) {
  const auto found = std::ranges::find(plan.settings, setting, &PlannedSetting::name);
  return found == plan.settings.end() ? plan.rules_file : found->from;
}

}  // namespace ktx::placement
