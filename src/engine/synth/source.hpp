// Synthetic models as a source of weights, without a file: "synth:deepseek-v3,mix=q4_k_m".
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "ktx/synth.hpp"
#include "loader/checkpoint.hpp"

namespace ktx::engine {

/// Whether what names a model is such a spec rather than a path.
bool is_synthetic(const std::filesystem::path& model);

/// "synth:MODEL[,KEY=VALUE]...". Keys: mix, dense and moe (layers), experts, seed, and the sizes of
/// config.json. Throws input error that names what there is.
SynthOptions parse_spec(const std::string& spec);

/// Has the tensors, bytes and configuration of the checkpoint that ktx-synth writes for the same
/// options: a GGUF file where there are such of the mix, else a Hugging Face directory. Throws
/// input error for a wrong spec.
std::unique_ptr<loader::TensorSource> open_synthetic(const std::string& spec,
                                                     std::span<const std::string> overrides);

}  // namespace ktx::engine
