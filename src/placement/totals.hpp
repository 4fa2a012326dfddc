// Sums over a plan, for its printouts.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "placement/plan.hpp"
#include "placement/rules.hpp"

namespace ktx::placement {

/// Layers whose tokens run through the same number of experts.
struct ExpertUse {
  int per_token = 0, experts = 0;
  std::vector<int> layers;
};

struct Totals {
  std::vector<std::pair<std::string, uint64_t>> devices;  // name and weight bytes
  std::vector<ExpertUse> experts;
  uint64_t memory = 0;  // Plan::memory_bytes
};

Totals totals(const Plan& plan);

/// Ranges of increasing numbers: 3, 4, 5, 9 -> 3-5,9.
std::vector<LayerRange> ranges_of(const std::vector<int>& layers);

}  // namespace ktx::placement
