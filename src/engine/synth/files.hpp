// The files of a synthetic checkpoint: what each holds, and writing them.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "engine/synth/contents.hpp"
#include "loader/file_layout.hpp"

namespace ktx::engine {

/// A file of tensors. GGUF: name is empty, the file is the whole checkpoint.
struct TensorFile {
  std::string name;
  loader::FileLayout layout;
  std::vector<SynthTensor> tensors;
};

struct CheckpointFiles {
  struct Text {
    std::string name, content;
  };
  std::vector<TensorFile> tensors;
  std::vector<Text> texts;

  uint64_t bytes() const noexcept;
};

/// The files of `tensors`, which are contents(recipe). Hugging Face: shards of at most shard_bytes
/// (or of one tensor), the index that joins them, config.json and the tokenizer's files.
CheckpointFiles checkpoint_files(const Recipe& recipe, std::vector<SynthTensor> tensors,
                                 uint64_t shard_bytes);

}  // namespace ktx::engine
