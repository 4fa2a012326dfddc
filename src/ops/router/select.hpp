// Choosing a token's experts from its scores.
#pragma once

#include "core/graph/op.hpp"

namespace ktx::ops {

struct SelectArgs {
  const graph::RouterParams* params = nullptr;
  const float* scores = nullptr;  // [experts], after softmax or sigmoid
  const float* biased = nullptr;  // [experts], scores + bias; may be scores
  int count = 0;                  // experts to choose: 1 to top_k
  int32_t* ids = nullptr;         // [top_k], those after the first `count` -1
  float* weights = nullptr;       // [top_k], those after the first `count` 0
};

/// top_k and groups are at most graph::max_selected, and top_k experts fit in top_groups groups.
/// Weights are normalised over the chosen experts.
void select_experts(const SelectArgs& args) noexcept;

}  // namespace ktx::ops
