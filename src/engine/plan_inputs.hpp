// What plans and suggestions are made from besides a model and rules: a machine, and the memory
// that running takes.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <vector>

#include "core/hw/machine.hpp"
#include "loader/checkpoint.hpp"
#include "placement/plan.hpp"

namespace ktx::engine {

/// This machine as hwloc and CUDA report it; no speeds.
hw::Machine this_machine();

/// The machine that a file describes, its names safe to print. If it is this machine, only its
/// speeds are taken from the file. Throws input error.
hw::Machine described_machine(const std::filesystem::path& file);

/// The memory that running a plan takes besides weights and KV cache, for
/// placement::PlanOptions::run_memory. Computes what loading takes once for each number of threads,
/// so all plans must be of that source.
class RunMemory {
 public:
  /// The source must outlive it.
  explicit RunMemory(const loader::TensorSource& source) : source_(source) {}

  std::vector<placement::DeviceMemory> operator()(const placement::Plan& plan);

 private:
  const loader::TensorSource& source_;
  std::map<int64_t, uint64_t> loading_;  // bytes by threads
};

}  // namespace ktx::engine
