// What a plan takes of each device's memory, and whether the machine has it.
#pragma once

#include <vector>

#include "placement/plan.hpp"

namespace ktx::placement {

/// What the CUDA context, the kernels' code and cuBLAS take of a GPU, about 500 MiB of an H200,
/// rounded up.
constexpr uint64_t driver_bytes = uint64_t{600} << 20;

/// A GPU that streams experts maps all of the CPU's weights: 8 bytes of its memory for each of
/// their pages of 4 KiB, as measured with 370 GiB of them on an H200.
constexpr uint64_t mapped_bytes_per_byte = 512;

/// Of a device's memory that should stay free: for a screen and other programs, or the system.
uint64_t kept_free(const std::string& device, uint64_t memory);

/// The devices that the plan uses, with their weights and KV cache.
void sum_up_memory(Plan& plan);

/// What the engine knows of them besides.
void add_run_memory(const std::vector<DeviceMemory>& needs, Plan& plan);

/// The weights of each device and module once more.
void count_weights(Plan& plan);

/// Throws environment error when a device has less than the plan needs.
void check_memory(const Plan& plan);

}  // namespace ktx::placement
