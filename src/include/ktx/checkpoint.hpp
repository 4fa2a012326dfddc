// Looking into a checkpoint without loading it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace ktx {

struct TensorSummary {
  std::string name, format, file;
  std::vector<int64_t> shape;  // outermost first
  uint64_t bytes = 0;
};

struct ModuleSummary {
  std::string path, op;
  std::vector<std::string> classes;  // what `match: {class: ...}` accepts, innermost first
  int layer = -1;
  int64_t weights = 0;               // numbers
  std::vector<std::string> formats;  // of its weights in the checkpoint
  std::string unused;                // why it is not run; empty when it is
};

struct CheckpointSummary {
  std::string architecture, name;
  int layers = 0, hidden = 0, vocab = 0, experts = 0, experts_per_token = 0;
  int64_t context = 0;
  uint64_t bytes = 0;  // of all tensors
  int64_t weights = 0;
  std::vector<TensorSummary> tensors;
  std::vector<ModuleSummary> modules;
  std::string metadata;  // one JSON object: config.json, or the GGUF metadata
  std::string graph;     // one line a node
};

/// A named f32 tensor to write; shape outermost first.
struct NamedTensor {
  std::string name;
  std::vector<int64_t> shape;
  std::span<const float> values;  // as many as the shape says
};

/// Writes a safetensors file. Throws environment error when it can't be written whole (a full
/// disk); an existing file then stays as it was.
void write_safetensors(const std::filesystem::path& file, const std::vector<NamedTensor>& tensors);

/// Throws input error when the checkpoint is broken or of an unknown architecture.
CheckpointSummary inspect(const std::filesystem::path& model, bool header_only = false);

}  // namespace ktx
