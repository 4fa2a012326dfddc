// RMS normalisation of rows on a GPU, with the addition to the residual stream before it.
#pragma once

#include "core/device/queue.hpp"

namespace ktx::ops::cuda {

/// x += add, if there is one; then y = x / sqrt(mean(x^2) + eps) * weight over each group of
/// `width` columns. All in the GPU's memory; strides in numbers.
struct RmsNormArgs {
  float* x = nullptr;  // [rows, groups * width]; written only where there is something to add
  int64_t x_stride = 0;
  const float* add = nullptr;  // [rows, groups * width], or null
  int64_t add_stride = 0;
  float* y = nullptr;             // [rows, groups * width], or null; may be x
  uint16_t* y_bf16 = nullptr;     // the same rounded, or null
  int64_t y_stride = 0;           // of both
  const float* weight = nullptr;  // [width]
  int64_t rows = 0;
  int64_t groups = 1;  // e.g. heads, for a norm of each head
  int64_t width = 0;
  float eps = 1e-6f;
};

void rms_norm(const RmsNormArgs& args, const device::Queue& queue) noexcept;

}  // namespace ktx::ops::cuda
