// Inspecting a checkpoint without loading it, and writing tensors to a file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace ktx {

/// A tensor as the checkpoint stores it.
struct TensorSummary {
  std::string name;
  std::string format;          // e.g. "q4_k"
  std::string file;            // that holds it
  std::vector<int64_t> shape;  // outermost dimension first
  uint64_t bytes = 0;
};

/// A module of the model, which rules match.
struct ModuleSummary {
  std::string path;                  // e.g. "model.layers.3.mlp.experts"
  std::string op;                    // e.g. "moe"
  std::vector<std::string> classes;  // for `match: {class: ...}`; its own class first
  int layer = -1;                    // -1: outside the layers
  int64_t weights = 0;               // number of weights
  std::vector<std::string> formats;  // of its weights in the checkpoint
  std::string unused;                // why it is not run; empty: it is
};

struct CheckpointSummary {
  std::string architecture;  // e.g. "deepseek_v3"
  std::string name;          // of the model, as the checkpoint has it; may be empty
  int layers = 0, hidden = 0, vocab = 0;
  int experts = 0, experts_per_token = 0;  // routed; 0: a dense model
  int64_t context = 0;                     // tokens that the model was trained for
  uint64_t bytes = 0;                      // of all tensors
  int64_t weights = 0;                     // number of weights in all tensors
  std::vector<TensorSummary> tensors;
  std::vector<ModuleSummary> modules;
  std::string metadata;  // one JSON object: config.json, or the GGUF metadata
  std::string graph;     // the model's graph as text, one line per node
};

/// An f32 tensor to write.
struct NamedTensor {
  std::string name;
  std::vector<int64_t> shape;     // outermost dimension first
  std::span<const float> values;  // row-major, as many as the shape's product
};

/// Writes a safetensors file. Throws ktx::Error: environment when it can't be written completely (a
/// full disk, for example); an existing file then stays as it was.
void write_safetensors(const std::filesystem::path& file, const std::vector<NamedTensor>& tensors);

/// model: a .gguf, the first file of a split, or a Hugging Face directory. header_only: the weights
/// themselves may be missing. Throws ktx::Error: input when the checkpoint is broken or of an
/// unknown architecture.
CheckpointSummary inspect(const std::filesystem::path& model, bool header_only = false);

}  // namespace ktx
