// Linear layers: y = x W^T (+ bias), over all threads of a pool.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/hw/worker_pool.hpp"
#include "ops/matmul/matmul.hpp"

namespace ktx::ops {

/// Up to this many tokens the decode kernel runs, above it the prefill kernel.
constexpr int64_t decode_tokens = 8;

/// Tokens that a decode kernel may be given at once so that no token's sums depend on the others:
/// with more than decode_tokens a kernel may go another way, and loops over floats keep other sums
/// for other numbers of tokens.
inline int64_t independent_tokens(const PackedMatrix& w) noexcept {
  return w.decode->activation(w.format) == ActivationFormat::f32 ? 1 : decode_tokens;
}

/// Strides in floats.
struct LinearArgs {
  const float* x = nullptr;  // [tokens, cols]
  int64_t x_stride = 0;
  int64_t tokens = 0;
  const PackedMatrix* w = nullptr;
  const float* bias = nullptr;  // [rows], or null
  float* y = nullptr;           // [tokens, rows], overwritten
  int64_t y_stride = 0;
  /// The decode kernel however many tokens there are: then no token's result depends on the others.
  bool decode_kernel = false;
  std::byte* scratch = nullptr;  // linear_scratch_bytes() bytes, 64-byte aligned
};

/// Bytes of scratch for steps of up to `tokens` tokens of one matrix, or of several at once.
int64_t linear_scratch_bytes(const PackedMatrix& w, int64_t tokens) noexcept;
int64_t linear_scratch_bytes(std::span<const PackedMatrix> matrices, int64_t tokens) noexcept;

void linear(const LinearArgs& args, hw::WorkerPool& pool) noexcept;

/// Several matrices times the same x in one go: x, x_stride and tokens of all are equal, and so are
/// their columns. Only the first one's scratch is used, which is for all of them.
void linear_many(std::span<const LinearArgs> args, hw::WorkerPool& pool) noexcept;

/// The same by the formula, in f32, with w in Layout::rows. Slow.
void linear_ref(const LinearArgs& args);

}  // namespace ktx::ops
