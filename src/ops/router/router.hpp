// The router of a mixture-of-experts layer: which experts each token goes to, and with what
// weights.
#pragma once

#include <cstddef>

#include "core/graph/op.hpp"
#include "core/hw/worker_pool.hpp"
#include "ops/f32/f32.hpp"

namespace ktx::ops {

struct RouterArgs {
  const graph::RouterParams* params = nullptr;
  const float* x = nullptr;  // [tokens, hidden]
  int64_t x_stride = 0;      // floats
  int64_t tokens = 0;
  int64_t hidden = 0;
  const float* weight = nullptr;  // [experts, hidden], contiguous
  const float* bias = nullptr;    // [experts], added for selection only; or null
  /// [tokens] experts that each token gets, 1 to top_k; null: top_k each.
  const int32_t* experts_per_token = nullptr;
  int32_t* ids = nullptr;    // [tokens, top_k], by descending biased score; unused: -1
  float* weights = nullptr;  // [tokens, top_k]; unused: 0
  const f32::Kernel* kernel = nullptr;
  std::byte* scratch = nullptr;  // router_scratch_bytes() bytes, 64-byte aligned
};

size_t router_scratch_bytes(const graph::RouterParams& params, int64_t max_tokens) noexcept;

/// Selection as DeepSeek-V3 defines it (modeling_deepseek_v3.py of transformers 5): experts outside
/// the chosen groups cannot be chosen (their biased score counts as -infinity; transformers 4
/// filled in 0, which differs when biased scores are negative). Equal scores: the lower index
/// first. The sum that normalises gets + 1e-20.
void router(const RouterArgs& args, hw::WorkerPool& pool) noexcept;

}  // namespace ktx::ops
