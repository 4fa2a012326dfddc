// The view of a plan that its printouts share: modules that are placed alike in several layers are
// folded into one.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "core/graph/module.hpp"
#include "placement/plan.hpp"

namespace ktx::placement {

struct FoldedModule {
  std::string path;    // with `*` for the layer's number
  std::string op;      // "moe.amx", or with the kernel of prompts "moe.avx512_vnni / amx + cuda"
  std::string device;  // "cpu", "cpu / cuda:0" if prompts run there, "cpu / cpu + cuda:0" on both
  std::string format;  // "q4_k", or "gate,up q4_k; down q6_k"
  std::string numa;    // "-" where no policy applies
  std::string rule_where, rule_name;
  std::vector<int> layers;      // ascending; none outside the layers
  std::vector<size_t> modules;  // of Plan::modules, ascending; at least one
  uint64_t bytes = 0;
};

/// All modules of the plan; those of one path together, in the order of the first of them.
std::vector<FoldedModule> folded_modules(const Plan& plan);

}  // namespace ktx::placement
