// Opening a Hugging Face directory: config.json and one or many safetensors files.
#pragma once

#include <filesystem>

#include "loader/file_source.hpp"

namespace ktx::loader {

/// See open_checkpoint. Quantized tensors are made from their parts (loader/composed.hpp).
CheckpointContents open_safetensors(const std::filesystem::path& directory,
                                    const OpenOptions& options);

/// Whether open_safetensors would find weights there.
bool has_safetensors(const std::filesystem::path& directory);

/// The JSON of a file of the directory; null when there is none.
Json read_optional_json(const std::filesystem::path& file);

}  // namespace ktx::loader
