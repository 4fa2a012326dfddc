// Opening a Hugging Face directory: config.json and one or many safetensors files.
#pragma once

#include <filesystem>

#include "loader/file_source.hpp"

namespace ktx::loader {

/// See open_checkpoint. FP8 tensors (F8_E4M3, last dimensions [rows, cols]) must each have their
/// scales beside them: `<name>_scale_inv`, F32 [..., ceil(rows/128), ceil(cols/128)], weight = code
/// * scale, as in the published DeepSeek-V3 checkpoint.
CheckpointContents open_safetensors(const std::filesystem::path& directory,
                                    const OpenOptions& options);

/// The JSON of a file of the directory; null when there is none.
Json read_optional_json(const std::filesystem::path& file);

}  // namespace ktx::loader
