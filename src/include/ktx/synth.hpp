// Synthetic checkpoints: random weights in the shape and layout of published models, so that speed
// can be measured without the real weights.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace ktx {

/// A name and what it stands for.
struct SynthChoice {
  std::string name, doc;
};

std::vector<SynthChoice> synth_models();
std::vector<SynthChoice> synth_mixes();

/// Where writing is.
struct SynthProgress {
  std::string file;
  uint64_t done = 0, total = 0;  // bytes of all files
};

struct SynthOptions {
  std::string model = "deepseek-v3";  // of synth_models()
  std::string mix = "q4_k_m";         // of synth_mixes()
  /// A name that ends in .gguf: that file, in the layout that llama.cpp writes since April 2025
  /// (attn_k_b and attn_v_b, one tensor for a layer's experts). Any other: a Hugging Face directory
  /// of safetensors shards of 5 GB. Must not exist yet.
  std::filesystem::path out;
  /// Instead of the published model's.
  std::optional<int> dense_layers, moe_layers, experts;
  /// Further sizes that differ from the published ones, by their name in config.json.
  std::map<std::string, int64_t> sizes;
  /// The same seed and shape give the same bytes.
  uint64_t seed = 1;
  /// Threads that make numbers and write; 0: one a CPU, at most 8.
  int threads = 0;
  /// Called as data are written, by one thread at a time. False stops: what was written is removed
  /// and an environment error says so.
  std::function<bool(const SynthProgress&)> progress;
};

struct SynthReport {
  uint64_t bytes = 0;  // of all files
  int64_t weights = 0;
  double seconds = 0;  // until all of it was on the disk
};

/// Bytes that synthesize() would write.
uint64_t synth_bytes(const SynthOptions& options);

/// Writes under a temporary name beside `out` and renames it at the end. Throws ktx::Error: input
/// for sizes that don't go together, a mix that the kind of file does not have, and an `out` that
/// exists; environment when the disk has not enough room. Leaves nothing behind then.
SynthReport synthesize(const SynthOptions& options);

}  // namespace ktx
