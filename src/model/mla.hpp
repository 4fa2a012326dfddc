// Multi-head latent attention with its projections, as DeepSeek-V2 and V3 have it.
#pragma once

#include "core/graph/op.hpp"
#include "model/model_builder.hpp"

namespace ktx::model {

struct MlaShape {
  graph::MlaParams params;  // cache is filled in a layer
  int q_lora = 0;           // 0: one query projection instead of two
  bool bias = false;        // on the projections that may have one, by the configuration
};

/// Reads heads, sizes, rotation and attention scale.
MlaShape read_mla(const ModelBuilder& builder);

/// Query and latent projections, attention and output projection of one layer.
int mla_attention(ModelBuilder& builder, const MlaShape& shape, int layer, int x);

}  // namespace ktx::model
