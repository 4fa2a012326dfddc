// Synthetic checkpoints: random weights in the shape and layout of published models, to measure
// speed without the real weights.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace ktx {

/// A valid name, and what it stands for.
struct SynthChoice {
  std::string name, doc;
};

/// The models that can be synthesized.
std::vector<SynthChoice> synth_models();
/// The mixes: which format each tensor has, as in published checkpoints.
std::vector<SynthChoice> synth_mixes();

struct SynthProgress {
  std::string file;
  uint64_t done = 0, total = 0;  // bytes, over all files
};

struct SynthOptions {
  std::string model = "deepseek-v3";  // of synth_models()
  std::string mix = "q4_k_m";         // of synth_mixes()
  /// If it ends in .gguf: a GGUF file in the layout that llama.cpp has written since April 2025
  /// (attn_k_b and attn_v_b, one tensor for a layer's experts). Otherwise: a Hugging Face directory
  /// with safetensors shards of 5 GB. Must not exist yet.
  std::filesystem::path out;
  /// These replace the published model's numbers.
  std::optional<int> dense_layers, moe_layers, experts;
  /// Other sizes to change, by their name in config.json.
  std::map<std::string, int64_t> sizes;
  /// The same seed and shapes give the same bytes.
  uint64_t seed = 1;
  /// Threads that generate and write; 0: one per CPU, at most 8.
  int threads = 0;
  /// Called by one thread at a time as data is written. Returning false cancels: what was written
  /// is removed and synthesize() throws an environment error.
  std::function<bool(const SynthProgress&)> progress;
};

struct SynthReport {
  uint64_t bytes = 0;   // of all files
  int64_t weights = 0;  // number of weights
  double seconds = 0;   // until everything was on disk
};

/// Bytes that synthesize() would write. Throws ktx::Error: input as synthesize() does.
uint64_t synth_bytes(const SynthOptions& options);

/// Writes to a temporary name beside `out` and renames it at the end. Throws ktx::Error: input for
/// unknown names, sizes that don't fit together, a mix that this kind of file can't have, or an
/// `out` that exists; environment when the disk is full. Leaves nothing behind then.
SynthReport synthesize(const SynthOptions& options);

}  // namespace ktx
