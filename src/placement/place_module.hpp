// One module's place: what its rule decides for both phases, and what follows from that.
#pragma once

#include "core/graph/graph.hpp"
#include "placement/plan.hpp"
#include "placement/rules.hpp"

namespace ktx::placement {

/// The settings and the machine of `plan` are there; of the result all but `module` and what is
/// counted later. Where experts stay on a GPU until a size is reached, one of them does so far.
/// Throws input error for what can't be, environment for what the machine lacks.
PlannedModule place_module(const Rule& rule, const graph::Module& module, const Plan& plan);

}  // namespace ktx::placement
