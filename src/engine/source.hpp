// From a path to a checkpoint and the tokenizer in it: joins loader and text, which do not know
// each other.
#pragma once

#include <filesystem>
#include <memory>

#include "ktx/tokenizer.hpp"
#include "loader/checkpoint.hpp"

namespace ktx::engine {

/// The one way to a model's weights: `model` is a path, as loader::open_checkpoint takes it, or a
/// spec of a synthetic model ("synth:deepseek-v3,mix=q4_k_m"). Throws input error.
std::unique_ptr<loader::TensorSource> open_source(const std::filesystem::path& model,
                                                  const loader::OpenOptions& options = {});

/// The tokenizer that came with a checkpoint. Throws input error when there is none.
Tokenizer tokenizer_of(const loader::TensorSource& source);

}  // namespace ktx::engine
