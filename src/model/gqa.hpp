// Grouped-query attention with its projections, as Llama, Mixtral and Qwen have it.
#pragma once

#include <functional>

#include "core/graph/op.hpp"
#include "model/model_builder.hpp"

namespace ktx::model {

struct GqaShape {
  int heads = 0, kv_heads = 0, head = 0;
  graph::Rope rotary;
  bool qkv_bias = false, output_bias = false;  // by the Hugging Face configuration
  bool qk_norm = false;                        // a norm over each head of q and k
};

/// How the checkpoint orders the columns of q and k that are rotated together.
enum class RotaryOrder {
  halves,              // (i, i + dims / 2) in both namings
  interleaved_in_gguf  // halves, but GGUF files store q and k re-ordered to pairs (2i, 2i + 1)
};

/// Reads heads, head size and rotation. theta: the architecture's, when no key gives it.
GqaShape read_gqa(ModelBuilder& builder, RotaryOrder order, double theta = 10000);

/// q, k, v, attention and output projection of one layer; window: see GqaParams.
int gqa_attention(ModelBuilder& builder, const GqaShape& shape, int layer, int x, int window = 0);

}  // namespace ktx::model
