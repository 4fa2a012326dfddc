// Settings of the model as a whole: each from an option, else the rules file, else the checkpoint
// or a default.
#pragma once

#include <string>

#include "placement/plan.hpp"
#include "placement/planner.hpp"
#include "placement/rules.hpp"

namespace ktx::placement {

/// The inputs of a setting, and the plan that stores it.
struct Setup {
  const Rules& rules;
  const PlanOptions& options;
  Plan& plan;  // its machine and model are there already
};

// Each sets its part of the plan and records in plan.settings where the value came from. Throws
// input error for a value out of range.
void apply_model_path(const Setup& setup);
void apply_context(const Setup& setup);
void apply_sessions(const Setup& setup);
void apply_threads(const Setup& setup);
void apply_decode_threads(const Setup& setup);  // after apply_threads
void apply_prefill_chunk(const Setup& setup);
void apply_cache_format(const Setup& setup);
void apply_tokenizer(const Setup& setup);
void apply_weights_cache(const Setup& setup);
void apply_deterministic(const Setup& setup);

/// Experts per token of each layer, and the most that any request may ask for, which is the number
/// of columns of routers and moe nodes in the plan's graph. Throws input error when the model has
/// no experts, too few of them, or none in a given range of layers.
void apply_experts_per_token(const Setup& setup);

/// The model that the option or the rules file names. Throws input error when neither does.
std::string model_path(const Rules& rules, const PlanOptions& options);

}  // namespace ktx::placement
