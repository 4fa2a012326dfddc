// How much memory a plan needs on each device, and whether the machine has it.
#pragma once

#include <vector>

#include "placement/plan.hpp"

namespace ktx::placement {

/// GPU memory for the CUDA context, the kernels' code and cuBLAS: about 500 MiB on an H200, rounded
/// up.
constexpr uint64_t driver_bytes = uint64_t{600} << 20;

/// A GPU that streams experts maps all weights in CPU memory, which takes 8 bytes of GPU memory per
/// 4 KiB page, as measured with 370 GiB on an H200.
constexpr uint64_t mapped_bytes_per_byte = 512;

/// How much of a device's memory should stay free: for a display and other programs, or the system.
uint64_t kept_free(const std::string& device, uint64_t memory);

/// Fills in the devices that the plan uses, with their weights and KV cache.
void sum_up_memory(Plan& plan);

/// Adds what only the engine knows.
void add_run_memory(const std::vector<DeviceMemory>& needs, Plan& plan);

/// Counts the weights of each device and module anew.
void count_weights(Plan& plan);

/// Throws environment error when a device has less than the plan needs.
void check_memory(const Plan& plan);

}  // namespace ktx::placement
