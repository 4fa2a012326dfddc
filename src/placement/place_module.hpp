// Places one module: applies its rule for both phases, and derives kernels, formats and memory.
#pragma once

#include "core/graph/graph.hpp"
#include "placement/plan.hpp"
#include "placement/rules.hpp"

namespace ktx::placement {

/// plan: with settings and machine filled in. The result is complete except for `module` and what
/// is counted later. If experts stay on a GPU up to a size, the result has one of them so far.
/// Throws input error for what is impossible, environment error for what the machine lacks.
PlannedModule place_module(const Rule& rule, const graph::Module& module, const Plan& plan);

/// The last routed experts on the CPU defer none: there are no later ones to add them to.
void defer_none_at_last(Plan& plan);

}  // namespace ktx::placement
