// Explains the placement of one module, from the rules that were tried to its predicted time.
#pragma once

#include <string>

#include "placement/plan.hpp"
#include "placement/rules.hpp"

namespace ktx::placement {

/// Which rules were tried and why earlier ones do not match, what the deciding one sets and what
/// defaults do, kernels of both phases and why better ones were skipped, formats, memory and
/// prediction. Lines end with '\n'. rules: those that the plan was made of. Throws input error when
/// the model has no module of that path, with the nearest ones.
std::string why(const Rules& rules, const Plan& plan, const std::string& path);

}  // namespace ktx::placement
