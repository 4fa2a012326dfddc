// How fast this box's GPUs read, copy and multiply.
#pragma once

#include "core/hw/machine.hpp"

namespace ktx::engine {

/// Measures the speeds of machine.gpus, the box's own in their order, and what copying to the first
/// and reading memory cost each other (machine.read_while_copying). A second or so a GPU. Throws
/// environment error when a GPU has not a GiB free or fails.
void measure_gpus(hw::Machine& machine);

}  // namespace ktx::engine
