// From an opened checkpoint to the model and the tokenizer in it: joins loader, model and text,
// which do not know each other.
#pragma once

#include <filesystem>
#include <memory>

#include "core/graph/graph.hpp"
#include "ktx/tokenizer.hpp"
#include "loader/checkpoint.hpp"
#include "model/model.hpp"

namespace ktx::engine {

/// The one way to a model's weights: `model` is a path, as loader::open_checkpoint takes it, or a
/// spec of a synthetic model ("synth:deepseek-v3,mix=q4_k_m"). Throws input error.
std::unique_ptr<loader::TensorSource> open_source(const std::filesystem::path& model,
                                                  const loader::OpenOptions& options = {});

/// Throws input error for an unknown architecture, a missing tensor or a wrong shape, and, unless
/// ignore_unused, for what the architecture has no use for.
graph::Model build_model(const loader::TensorSource& source, bool ignore_unused = false);

/// The tokenizer that came with a checkpoint. Throws input error when there is none.
Tokenizer tokenizer_of(const loader::TensorSource& source);

}  // namespace ktx::engine
