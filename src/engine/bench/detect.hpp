// Describes this machine and measures its speeds.
#pragma once

#include "core/hw/machine.hpp"

namespace ktx::engine {

/// This machine as hwloc and CUDA report it, with the speeds that predictions need, measured for
/// some seconds. Throws environment error when memory is short.
hw::Machine measured_machine();

}  // namespace ktx::engine
