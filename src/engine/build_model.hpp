// Builds the model of an opened checkpoint: connects loader and model, which do not depend on each
// other.
#pragma once

#include "core/graph/graph.hpp"
#include "loader/checkpoint.hpp"

namespace ktx::engine {

/// Throws input error for an unknown architecture, a missing tensor or a wrong shape, and, unless
/// ignore_unused, for tensors and keys that the architecture does not use.
graph::Model build_model(const loader::TensorSource& source, bool ignore_unused = false);

}  // namespace ktx::engine
