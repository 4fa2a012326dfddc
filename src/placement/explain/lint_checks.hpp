// The checks behind lint_checks(). Each adds what it finds; the table names them.
#pragma once

#include <string>
#include <vector>

#include "placement/explain/lint.hpp"

namespace ktx::placement {

// lint_rules.cpp: a rules file against the model.
void find_rules_for_other_models(const Linted& linted, std::vector<Finding>& findings);
void find_rules_without_effect(const Linted& linted, std::vector<Finding>& findings);
void find_repeated_settings(const Linted& linted, std::vector<Finding>& findings);
void find_layers_beyond_model(const Linted& linted, std::vector<Finding>& findings);
void find_slower_kernels(const Linted& linted, std::vector<Finding>& findings);
void find_coarse_heads(const Linted& linted, std::vector<Finding>& findings);
void find_requantized(const Linted& linted, std::vector<Finding>& findings);
void find_untrained_context(const Linted& linted, std::vector<Finding>& findings);
void find_more_experts(const Linted& linted, std::vector<Finding>& findings);

// lint_machine.cpp: the plan against the machine.
void find_numa_of_one_node(const Linted& linted, std::vector<Finding>& findings);
void find_more_threads(const Linted& linted, std::vector<Finding>& findings);
void find_unused_gpus(const Linted& linted, std::vector<Finding>& findings);
void find_full_devices(const Linted& linted, std::vector<Finding>& findings);
void find_idle_streams(const Linted& linted, std::vector<Finding>& findings);
void find_idle_deferral(const Linted& linted, std::vector<Finding>& findings);
void find_split_attention(const Linted& linted, std::vector<Finding>& findings);
void find_alternating_layers(const Linted& linted, std::vector<Finding>& findings);

/// Who gave a setting of the plan: a file:line, a flag, or what it defaults to.
std::string who_set(const Plan& plan, const std::string& setting);

}  // namespace ktx::placement
