// Linear layers: y = x W^T + bias over all workers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/hw/worker_pool.hpp"
#include "ops/matmul/matmul.hpp"

namespace ktx::ops {

/// Steps of up to this many tokens use a matrix's decode kernel, larger ones its prefill kernel.
constexpr int64_t decode_tokens = 8;

struct LinearArgs {
  const float* x = nullptr;  // [tokens, cols]
  int64_t x_stride = 0;      // floats
  int64_t tokens = 0;
  const PackedMatrix* w = nullptr;  // [rows, cols]
  const float* bias = nullptr;      // [rows], or null
  float* y = nullptr;               // [tokens, rows]
  int64_t y_stride = 0;
  std::byte* scratch = nullptr;  // linear_scratch_bytes() bytes, 64-byte aligned
};

/// Bytes of scratch for steps of up to max_tokens tokens.
size_t linear_scratch_bytes(const PackedMatrix& w, int64_t max_tokens) noexcept;

void linear(const LinearArgs& args, hw::WorkerPool& pool) noexcept;

/// Several products of one x in one pass over the workers. All have the same x, x_stride, tokens,
/// cols and scratch.
void linear_many(std::span<const LinearArgs> all, hw::WorkerPool& pool) noexcept;

/// The same by the formula, in double, from Layout::rows. Slow.
void linear_ref(const LinearArgs& args);

}  // namespace ktx::ops
