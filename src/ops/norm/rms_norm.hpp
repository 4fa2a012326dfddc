// RMS normalisation of rows, in groups.
#pragma once

#include "core/hw/worker_pool.hpp"
#include "ops/f32/f32.hpp"

namespace ktx::ops {

/// y = x / sqrt(mean(x^2) + eps) * weight over each group of `width` columns.
struct RmsNormArgs {
  const float* x = nullptr;  // [tokens, groups * width]
  int64_t x_stride = 0;      // floats
  float* y = nullptr;        // [tokens, groups * width]; may be x
  int64_t y_stride = 0;
  const float* weight = nullptr;  // [width]
  int64_t tokens = 0;
  int64_t groups = 1;  // e.g. heads, for a norm of each head
  int64_t width = 0;
  float eps = 1e-6f;
  const f32::Kernel* kernel = nullptr;
};

void rms_norm(const RmsNormArgs& args, hw::WorkerPool& pool) noexcept;

}  // namespace ktx::ops
