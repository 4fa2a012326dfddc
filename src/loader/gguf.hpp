// Opening a GGUF checkpoint: one file, or all files of a split.
#pragma once

#include <filesystem>

#include "loader/file_source.hpp"

namespace ktx::loader {

/// See open_checkpoint. file: a GGUF file, the first one if it is split.
CheckpointContents open_gguf(const std::filesystem::path& file, const OpenOptions& options);

}  // namespace ktx::loader
