// Elementwise ops: silu_mul, add, scale_sigmoid.
#pragma once

#include "core/hw/worker_pool.hpp"
#include "ops/f32/f32.hpp"

namespace ktx::ops {

/// Two inputs and one output, each [tokens, width] with strides in floats. y may be a or b.
struct ElementwiseArgs {
  const float* a = nullptr;
  int64_t a_stride = 0;
  const float* b = nullptr;
  int64_t b_stride = 0;
  float* y = nullptr;
  int64_t y_stride = 0;
  int64_t tokens = 0;
  int64_t width = 0;
  const f32::Kernel* kernel = nullptr;
};

/// y = silu(a) * b; a is the gate, b the up projection.
void silu_mul(const ElementwiseArgs& args, hw::WorkerPool& pool) noexcept;

/// y = a + b.
void add(const ElementwiseArgs& args, hw::WorkerPool& pool) noexcept;

/// y = a * sigmoid(b); b is [tokens, 1].
void scale_sigmoid(const ElementwiseArgs& args, hw::WorkerPool& pool) noexcept;

}  // namespace ktx::ops
