// The contents of a synthetic checkpoint: its tensors, and the distribution of their numbers.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.hpp"
#include "core/quant/format.hpp"
#include "engine/synth/mix.hpp"
#include "engine/synth/published.hpp"
#include "ktx/synth.hpp"
#include "model/model.hpp"

namespace ktx::engine {

/// The distribution of a tensor's numbers.
struct Numbers {
  quant::Format format = quant::Format::f32;  // fp8: the plain codes
  bool around = false;                        // around `parameter`, else spread with that deviation
  double parameter = 0;

  bool operator==(const Numbers&) const = default;
};

struct SynthTensor {
  std::string name;
  std::vector<int64_t> shape;  // outermost first
  Numbers numbers;

  int64_t weights() const noexcept;
  uint64_t bytes() const noexcept;
  /// safetensors' name of the format.
  std::string_view dtype() const;
};

/// A checkpoint to be made.
struct Recipe {
  const PublishedModel* model = nullptr;
  const Mix* mix = nullptr;
  model::Naming naming = model::Naming::gguf;
  Json config;    // config.json
  Json metadata;  // of a GGUF file, without the tokenizer; null for Hugging Face
};

/// Throws input error for an unknown model or mix, and for sizes that don't fit together.
Recipe recipe_of(const SynthOptions& options, model::Naming naming);

/// The complete config.json, including how the weights are stored; for a GGUF file, all metadata.
Json full_config(const Recipe& recipe);

/// Every tensor that model::build_model needs, in the order of the modules. Scales are chosen so
/// that activations keep their magnitude from layer to layer and routers choose all experts about
/// equally. Throws input errors as build_model does, for sizes that don't fit together.
std::vector<SynthTensor> contents(const Recipe& recipe);

}  // namespace ktx::engine
