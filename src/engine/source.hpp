// Opens a checkpoint and its tokenizer: connects loader and text, which do not depend on each
// other.
#pragma once

#include <filesystem>
#include <memory>

#include "ktx/tokenizer.hpp"
#include "loader/checkpoint.hpp"

namespace ktx::engine {

/// Opens the weights of a model. model: a path as for loader::open_checkpoint, or the spec of a
/// synthetic model ("synth:deepseek-v3,mix=q4_k_m"). Throws input error.
std::unique_ptr<loader::TensorSource> open_source(const std::filesystem::path& model,
                                                  const loader::OpenOptions& options = {});

/// The tokenizer that came with a checkpoint. Throws input error when there is none.
Tokenizer tokenizer_of(const loader::TensorSource& source);

}  // namespace ktx::engine
