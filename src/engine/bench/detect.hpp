// This box with the speeds that it reaches.
#pragma once

#include "core/hw/machine.hpp"

namespace ktx::engine {

/// What hwloc and CUDA say of this box, and what predictions are made from, measured for some
/// seconds. Throws environment error when memory is missing.
hw::Machine measure_box();

}  // namespace ktx::engine
