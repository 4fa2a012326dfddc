// Detects the GPUs of this machine.
#pragma once

#include <vector>

#include "core/hw/machine.hpp"

namespace ktx::device {

/// The GPUs that the CUDA runtime sees, in its order: none without a driver, without a GPU, or if
/// ktx was built without CUDA. Never throws.
std::vector<hw::Gpu> detect_gpus();

}  // namespace ktx::device
