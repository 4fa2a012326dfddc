// From an opened checkpoint to the model in it: joins loader and model, which do not know each
// other.
#pragma once

#include "core/graph/graph.hpp"
#include "loader/checkpoint.hpp"
#include "model/model.hpp"

namespace ktx::engine {

/// Throws input error for an unknown architecture, a missing tensor or a wrong shape.
graph::Model build_model(const loader::TensorSource& source);

}  // namespace ktx::engine
