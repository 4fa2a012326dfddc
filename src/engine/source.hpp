// From an opened checkpoint to the model and the tokenizer in it: joins loader, model and text,
// which do not know each other.
#pragma once

#include "core/graph/graph.hpp"
#include "ktx/tokenizer.hpp"
#include "loader/checkpoint.hpp"
#include "model/model.hpp"

namespace ktx::engine {

/// Throws input error for an unknown architecture, a missing tensor or a wrong shape.
graph::Model build_model(const loader::TensorSource& source);

/// The tokenizer that came with a checkpoint. Throws input error when there is none.
Tokenizer tokenizer_of(const loader::TensorSource& source);

}  // namespace ktx::engine
