// The speeds of a machine's devices, and how long a kernel's work takes at these speeds.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ops/kernels.hpp"
#include "placement/plan.hpp"

namespace ktx::placement {

/// Speeds of a device per second; 0: not known.
struct Speed {
  double read = 0;     // bytes
  double flops = 0;    // with a matrix's weights, many rows
  double threads = 0;  // of a CPU, to decode weights; 0: enough not to limit it
};

struct Work {
  double bytes = 0, flops = 0;
  double decoded = 0;  // of many rows: operations of one row with the weights decoded for all
  double waits = 0;    // of few: seconds that decoding takes longer than reading
};

/// How a module uses the machine's CPUs.
struct CpuUse {
  int threads = 1;
  const ops::KernelRow* kernel = nullptr;  // null: of no table
  bool copying = false;                    // meanwhile, to a GPU
};

/// The speed of that many threads, one per core as far as there are cores: a few of them saturate
/// the memory, but arithmetic scales with their number. A module whose weights are all on one node
/// is read at that node's bandwidth; tensor_flops is the rate of the machine's best instructions.
Speed cpu_speed(const Plan& plan, const PlannedModule& planned, const CpuUse& use);
Speed gpu_speed(const Plan& plan, const std::string& device);

/// For kernels that are in no table: what most kernels reach.
const ops::Efficiency& efficiency_of(const ops::KernelRow* kernel);

double seconds(const ops::Efficiency& kernel, const Speed& speed, const Work& work);

/// Of a module's weights as they are stored.
double bytes_of(const graph::Module& module, const std::vector<PlannedWeight>& weights);
double numbers_of(const graph::Module& module);
/// Of a module's weights, each read once: see Work::waits.
double waits_of(const graph::Module& module, const std::vector<PlannedWeight>& weights,
                const ops::Efficiency& kernel, const Speed& speed);

}  // namespace ktx::placement
