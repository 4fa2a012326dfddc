// Rotary position embedding: a configuration's scaling turned into one frequency a pair.
#pragma once

#include <string>

#include "core/graph/op.hpp"
#include "model/config.hpp"

namespace ktx::model {

enum class RopeKind { plain, linear, yarn, llama3 };

/// What a configuration says of rotation and of stretching it to longer contexts.
struct RopeScaling {
  RopeKind kind = RopeKind::plain;
  double theta = 10000;
  double factor = 1;                             // context is stretched by this
  double original_context = 0;                   // tokens before stretching (yarn, llama3)
  double beta_fast = 32, beta_slow = 1;          // yarn: turns within the original context
  bool truncate = true;                          // yarn: round the ramp's ends to whole dimensions
  double low_frequency = 1, high_frequency = 4;  // llama3
  double mscale = 0, mscale_all_dim = 0;         // DeepSeek's yarn; 0: not given
  double attention_factor = 0;                   // yarn: magnitude of cos and sin; 0: not given
};

/// Reads `rope_parameters`, or `rope_scaling` and `rope_theta`, or the GGUF keys rope.*. context:
/// the model's, for configurations that leave the original one out. theta: when no key gives it.
RopeScaling read_rope(const Config& config, int64_t context, double theta = 10000);

/// Frequencies of dims / 2 pairs and the magnitude of cos and sin, computed in double.
/// linear: position / factor. yarn: arXiv 2309.00071, section 3.2 and its authors' code. llama3:
/// Llama 3.1's model card and code. dims: even, at least 2.
graph::Rope make_rope(const RopeScaling& scaling, int dims, bool interleaved);

/// DeepSeek's factor on the attention scale: (1 + 0.1 mscale_all_dim ln factor)^2, 1 without
/// scaling.
double attention_factor(const RopeScaling& scaling);

}  // namespace ktx::model
