// Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434, section 2.1).
#pragma once

#include <cstddef>

#include "core/graph/op.hpp"
#include "core/hw/worker_pool.hpp"
#include "ops/attention/attention.hpp"
#include "ops/attention/rope.hpp"
#include "ops/matmul/matmul.hpp"

namespace ktx::ops {

/// Tokens at positions [past, past + tokens) of one sequence. Strides in floats.
struct MlaArgs {
  const graph::MlaParams* params = nullptr;
  const PackedMatrix* k_b = nullptr;  // [heads], each rows kv_lora, cols nope
  const PackedMatrix* v_b = nullptr;  // [heads], each rows v, cols kv_lora
  const RopeTable* rope = nullptr;    // of params->rotary, for at least past + tokens positions
  const float* q = nullptr;           // [tokens, heads * (nope + rope)], not yet rotated
  int64_t q_stride = 0;
  const float* latent = nullptr;  // [tokens, kv_lora], already normed
  int64_t latent_stride = 0;
  const float* k_rope = nullptr;  // [tokens, rope], not yet rotated
  int64_t k_rope_stride = 0;
  float* out = nullptr;  // [tokens, heads * v]
  int64_t out_stride = 0;
  float* cache = nullptr;  // [capacity, kv_lora + rope]; rows [past, past + tokens) are written
  int64_t past = 0;
  int64_t tokens = 0;
  const AttentionKernel* kernel = nullptr;
  std::byte* scratch = nullptr;  // mla_scratch_bytes() bytes, 64-byte aligned
};

/// What multiplies by k_b and v_b when mla runs with this kernel on a machine of that level.
const MatmulKernel& mla_matmul_kernel(const AttentionKernel& kernel, hw::Isa machine,
                                      quant::Format format, int64_t rows, int64_t cols);

/// Bytes of scratch for steps of up to max_tokens tokens on a pool of `workers`; k_b and v_b: the
/// matrices of one head (those of the others have the same shape, format and kernels).
size_t mla_scratch_bytes(const AttentionKernel& kernel, const graph::MlaParams& params,
                         const PackedMatrix& k_b, const PackedMatrix& v_b, int64_t max_tokens,
                         int workers) noexcept;

/// Appends the tokens to the cache and attends causally over all past + tokens positions.
void mla(const MlaArgs& args, hw::WorkerPool& pool) noexcept;

/// The same by the formula, in double, keys and values expanded; k_b and v_b in Layout::rows. Slow.
void mla_ref(const MlaArgs& args);

}  // namespace ktx::ops
