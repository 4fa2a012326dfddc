// Elementwise ops and the choice of the next token on a GPU.
#pragma once

#include <cstdint>

#include "core/device/queue.hpp"

namespace ktx::ops::cuda {

/// y = silu(gate) * up in f32, rounded to bf16. All bf16, [tokens, width], strides in elements;
/// width even.
struct SiluMulArgs {
  const uint16_t* gate = nullptr;
  int64_t gate_stride = 0;
  const uint16_t* up = nullptr;
  int64_t up_stride = 0;
  uint16_t* y = nullptr;
  int64_t y_stride = 0;
  int64_t tokens = 0;
  int64_t width = 0;
};
void silu_mul(const SiluMulArgs& args, const device::Queue& queue) noexcept;

/// y = a + b in f32, n numbers; y may be a or b.
struct AddArgs {
  const float* a = nullptr;
  const float* b = nullptr;
  float* y = nullptr;
  int64_t n = 0;
};
void add(const AddArgs& args, const device::Queue& queue) noexcept;

/// y = x rounded to bf16, n numbers.
void to_bf16(const float* x, uint16_t* y, int64_t n, const device::Queue& queue) noexcept;

/// ids[t] = the first largest of logits [tokens, width], NaN counting as smallest; logits_stride in
/// floats.
struct ArgmaxArgs {
  const float* logits = nullptr;
  int64_t logits_stride = 0;
  int64_t tokens = 0;
  int64_t width = 0;
  int32_t* ids = nullptr;
};
void argmax(const ArgmaxArgs& args, const device::Queue& queue) noexcept;

}  // namespace ktx::ops::cuda
