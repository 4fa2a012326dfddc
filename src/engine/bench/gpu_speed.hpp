// Measures how fast this machine's GPUs read, copy and multiply.
#pragma once

#include "core/hw/machine.hpp"

namespace ktx::engine {

/// Fills in the speeds of machine.gpus, which are this machine's in order, and how copying to the
/// first GPU and reading memory slow each other down (machine.read_while_copying). Takes about a
/// second per GPU. Throws environment error when a GPU has less than a GiB free or fails.
void measure_gpus(hw::Machine& machine);

}  // namespace ktx::engine
