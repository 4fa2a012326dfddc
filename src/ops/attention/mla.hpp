// Multi-head latent attention (DeepSeek-V2, arXiv 2405.04434, section 2.1).
#pragma once

#include <cstddef>
#include <initializer_list>
#include <span>

#include "core/graph/op.hpp"
#include "core/hw/worker_pool.hpp"
#include "ops/attention/attention.hpp"
#include "ops/attention/kv_pages.hpp"
#include "ops/attention/rope.hpp"
#include "ops/matmul/matmul.hpp"

namespace ktx::ops {

/// The rows of a batch: of several sequences. Strides in floats.
struct MlaArgs {
  const graph::MlaParams* params = nullptr;
  const PackedMatrix* k_b = nullptr;  // [heads], each rows kv_lora, cols nope
  const PackedMatrix* v_b = nullptr;  // [heads], each rows v, cols kv_lora
  const RopeTable* rope = nullptr;    // of params->rotary, for the positions of all sequences
  const float* q = nullptr;           // [rows, heads * (nope + rope)], not yet rotated
  int64_t q_stride = 0;
  const float* latent = nullptr;  // [rows, kv_lora], already normed
  int64_t latent_stride = 0;
  const float* k_rope = nullptr;  // [rows, rope], not yet rotated
  int64_t k_rope_stride = 0;
  float* out = nullptr;  // [rows, heads * v]
  int64_t out_stride = 0;
  KvPages cache;  // the sequences' new tokens are written
  std::span<const SequenceRows> sequences;
  std::byte* scratch = nullptr;  // mla_scratch_bytes() bytes, 64-byte aligned
};

/// What multiplies by k_b and v_b when mla runs with this kernel on a machine of that level.
const MatmulKernel& mla_matmul_kernel(const AttentionKernel& kernel, hw::Isa machine,
                                      quant::Format format, int64_t rows, int64_t cols);

/// Bytes of scratch for any batch within `most`, on a pool of `workers`; kernels: those that
/// sequences may name; k_b and v_b: the matrices of one head (those of the others have the same
/// shape, format and kernels).
size_t mla_scratch_bytes(std::initializer_list<const AttentionKernel*> kernels,
                         const graph::MlaParams& params, const PackedMatrix& k_b,
                         const PackedMatrix& v_b, const BatchShape& most, int workers) noexcept;

/// Appends the tokens of all sequences to the cache; then each attends causally to all of its
/// sequence. What comes of a sequence depends neither on the others nor on the pool.
void mla(const MlaArgs& args, hw::WorkerPool& pool) noexcept;

/// The same by the formula, in double, keys and values expanded; k_b and v_b in Layout::rows. Slow.
void mla_ref(const MlaArgs& args);

}  // namespace ktx::ops
