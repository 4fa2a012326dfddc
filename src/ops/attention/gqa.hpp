// Grouped-query attention.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <span>

#include "core/graph/op.hpp"
#include "core/hw/worker_pool.hpp"
#include "ops/attention/attention.hpp"
#include "ops/attention/kv_pages.hpp"
#include "ops/attention/rope.hpp"

namespace ktx::ops {

/// The rows of a batch: of several sequences. Strides in floats.
struct GqaArgs {
  const graph::GqaParams* params = nullptr;
  const RopeTable* rope = nullptr;  // of params->rotary, for the positions of all sequences
  const float* q = nullptr;         // [rows, heads * head], not yet rotated
  int64_t q_stride = 0;
  const float* k = nullptr;  // [rows, kv_heads * head], not yet rotated
  int64_t k_stride = 0;
  const float* v = nullptr;  // [rows, kv_heads * head]
  int64_t v_stride = 0;
  float* out = nullptr;  // [rows, heads * head]
  int64_t out_stride = 0;
  KvPages cache;  // a row: the rotated keys of all kv_heads, then their values
  std::span<const SequenceRows> sequences;
  std::byte* scratch = nullptr;  // gqa_scratch_bytes() bytes, 64-byte aligned
};

/// Bytes of scratch for any batch within `most`, on a pool of `workers`; kernels: those that
/// sequences may name.
size_t gqa_scratch_bytes(std::initializer_list<const AttentionKernel*> kernels,
                         const graph::GqaParams& params, const BatchShape& most,
                         int workers) noexcept;

/// Appends the tokens of all sequences to the cache; then each attends causally to its sequence:
/// with a window, to itself and the window - 1 positions before it. What comes of a sequence
/// depends neither on the others nor on the pool.
void gqa(const GqaArgs& args, hw::WorkerPool& pool) noexcept;

/// The same by the formula, in double. Slow.
void gqa_ref(const GqaArgs& args);

}  // namespace ktx::ops
