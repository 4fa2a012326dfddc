// The GPUs of this box.
#pragma once

#include <vector>

#include "core/hw/machine.hpp"

namespace ktx::device {

/// The GPUs that the CUDA runtime sees, in its order: none without a driver, without a GPU, or when
/// ktx was built without CUDA. Never an error.
std::vector<hw::Gpu> detect_gpus();

/// From now on CUDA loads all kernels when it starts instead of each one at its first launch,
/// unless the user has set CUDA_MODULE_LOADING; that takes memory of every GPU for kernels that are
/// never launched, cuBLASLt's above all. To be called before anything else asks for a GPU, and
/// before there are other threads.
void load_kernels_eagerly() noexcept;

}  // namespace ktx::device
