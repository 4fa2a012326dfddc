// A plan as plain-text tables for people.
#pragma once

#include <string>
#include <vector>

#include "placement/plan.hpp"

namespace ktx::placement {

/// What to tell users before running the plan, one line each: "SLOW: ..." for kernels that run far
/// below the speed of their ISA.
std::vector<std::string> warnings(const Plan& plan);

/// `further` warnings and the plan's, settings, modules with equal places folded over their layers,
/// the rules, better kernels that were not taken and why, modules not run, and totals. Lines end
/// with '\n'.
std::string explain(const Plan& plan, const std::vector<std::string>& further = {});

}  // namespace ktx::placement
