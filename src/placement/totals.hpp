// Totals of a plan, for its printouts.
#pragma once

#include <cstdint>
#include <span>
#include <string>
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

/// A part of a device's memory, and its name in printouts.
struct MemoryPart {
  const char* name;
  uint64_t DeviceMemory::*bytes;
};
std::span<const MemoryPart> memory_parts() noexcept;

/// The memory that a device of the machine has; 0: not known.
uint64_t memory_of(const Plan& plan, const std::string& device);

/// Ranges of increasing numbers: 3, 4, 5, 9 -> 3-5,9.
std::vector<LayerRange> ranges_of(const std::vector<int>& layers);

}  // namespace ktx::placement
