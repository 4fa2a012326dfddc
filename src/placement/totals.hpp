// Sums over a plan, for its printouts.
#pragma once

#include <vector>

#include "placement/plan.hpp"
#include "placement/rules.hpp"

namespace ktx::placement {

/// Layers whose tokens run through the same number of experts.
struct ExpertUse {
  int per_token = 0, experts = 0;
  std::vector<int> layers;
};

std::vector<ExpertUse> experts_used(const Plan& plan);

/// Whether a NUMA policy says where weights of the module lie: one of its phases runs on the CPU.
bool has_numa(const PlannedModule& planned);

/// Ranges of increasing numbers: 3, 4, 5, 9 -> 3-5,9.
std::vector<LayerRange> ranges_of(const std::vector<int>& layers);

}  // namespace ktx::placement
