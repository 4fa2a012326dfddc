// The GPUs of this box.
#pragma once

#include <vector>

#include "core/hw/machine.hpp"

namespace ktx::device {

/// The GPUs that the CUDA runtime sees, in its order: none without a driver, without a GPU, or when
/// ktx was built without CUDA. Never an error.
std::vector<hw::Gpu> detect_gpus();

}  // namespace ktx::device
