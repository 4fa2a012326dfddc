// From an opened checkpoint to the model in it: joins loader and model, which do not know each
// other.
#pragma once

#include "core/graph/graph.hpp"
#include "loader/checkpoint.hpp"

namespace ktx::engine {

/// Throws input error for an unknown architecture, a missing tensor or a wrong shape, and, unless
/// ignore_unused, for what the architecture has no use for.
graph::Model build_model(const loader::TensorSource& source, bool ignore_unused = false);

}  // namespace ktx::engine
