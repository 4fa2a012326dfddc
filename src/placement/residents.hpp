// Resident experts, which stay on a GPU while the CPU runs the others: which ones, and their bytes.
#pragma once

#include <string>
#include <string_view>

#include "core/graph/graph.hpp"
#include "placement/plan.hpp"
#include "placement/rules.hpp"

namespace ktx::placement {

/// Throws input error unless the experts, as they are stored for the CPU, can run on a GPU too.
/// key: of the rule that asks for it.
void check_experts_on_gpu(const PlannedModule& planned, const graph::Module& module,
                          std::string_view key, const std::string& device,
                          const std::string& where);

/// Sets the resident experts of a module that is otherwise placed; if a size decides their number,
/// one for now. on: their GPU; empty: the one that prompts run on.
void start_residents(const Given<ResidentExperts>& asked, const std::string& on,
                     const graph::Module& module, PlannedModule& planned);

/// Adds resident experts for rules that give a size, equally many in each layer, as long as
/// everything that the plan has on that GPU fits. The plan's memory must have been summed up; its
/// weights must be counted anew afterwards. Throws environment error when not even one per layer
/// fits.
void fill_residents(const Rules& rules, Plan& plan);

/// Bytes of one expert on a GPU.
uint64_t expert_bytes(const PlannedModule& planned, const graph::Module& module);

}  // namespace ktx::placement
