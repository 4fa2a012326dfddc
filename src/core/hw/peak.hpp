// Measures the peak arithmetic throughput of this machine's CPUs.
#pragma once

#include <string_view>
#include <vector>

#include "core/hw/isa.hpp"

namespace ktx::hw {

/// Multiply-adds of one data type by one ISA's instructions, operands in registers.
struct Peak {
  Isa isa;
  std::string_view type;  // of the factors: "int8", "bf16", "f32"
  double ops_per_second;  // of all threads; a multiply-add is two
};

/// Every peak that usable_isa() allows, lowest ISA first, each measured for about `seconds` by
/// `threads` pinned threads.
std::vector<Peak> measure_peaks(int threads, double seconds = 0.05);

}  // namespace ktx::hw
