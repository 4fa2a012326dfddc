// Grouped-query attention.
#pragma once

#include <cstddef>

#include "core/graph/op.hpp"
#include "core/hw/worker_pool.hpp"
#include "ops/attention/attention.hpp"
#include "ops/attention/rope.hpp"

namespace ktx::ops {

/// Tokens at positions [past, past + tokens) of one sequence. Strides in floats.
struct GqaArgs {
  const graph::GqaParams* params = nullptr;
  const RopeTable* rope = nullptr;  // of params->rotary, for at least past + tokens positions
  const float* q = nullptr;         // [tokens, heads * head], not yet rotated
  int64_t q_stride = 0;
  const float* k = nullptr;  // [tokens, kv_heads * head], not yet rotated
  int64_t k_stride = 0;
  const float* v = nullptr;  // [tokens, kv_heads * head]
  int64_t v_stride = 0;
  float* out = nullptr;  // [tokens, heads * head]
  int64_t out_stride = 0;
  float* k_cache = nullptr;  // [capacity, kv_heads * head], rotated; rows [past, past + tokens) are
  float* v_cache = nullptr;  // written; v_cache: the same shape
  int64_t past = 0;
  int64_t tokens = 0;
  const AttentionKernel* kernel = nullptr;
  std::byte* scratch = nullptr;  // gqa_scratch_bytes() bytes, 64-byte aligned
};

/// Bytes of scratch for steps of up to max_tokens tokens on a pool of `workers`.
size_t gqa_scratch_bytes(const AttentionKernel& kernel, const graph::GqaParams& params,
                         int64_t max_tokens, int workers) noexcept;

/// Appends the tokens to the caches and attends causally; with a window, a token sees itself and
/// the window - 1 positions before it.
void gqa(const GqaArgs& args, hw::WorkerPool& pool) noexcept;

/// The same by the formula, in double. Slow.
void gqa_ref(const GqaArgs& args);

}  // namespace ktx::ops
