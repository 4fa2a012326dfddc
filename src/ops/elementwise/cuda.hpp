// Elementwise ops, conversions, and the choice of rows on a GPU.
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

/// Two inputs and one output in f32, each [tokens, width] with strides in numbers; y may be a or b.
struct PairArgs {
  const float* a = nullptr;
  int64_t a_stride = 0;
  const float* b = nullptr;
  int64_t b_stride = 0;
  float* y = nullptr;
  int64_t y_stride = 0;
  int64_t tokens = 0;
  int64_t width = 0;
};
/// y = a + b.
void add(const PairArgs& args, const device::Queue& queue) noexcept;
/// y = a * sigmoid(b); b is [tokens, 1].
void scale_sigmoid(const PairArgs& args, const device::Queue& queue) noexcept;

/// Numbers [tokens, width] from one type to the other, rounded where that is bf16.
struct ConvertArgs {
  const float* from = nullptr;  // one of the two
  const uint16_t* from_bf16 = nullptr;
  int64_t from_stride = 0;
  float* to = nullptr;  // one of the two
  uint16_t* to_bf16 = nullptr;
  int64_t to_stride = 0;
  int64_t tokens = 0;
  int64_t width = 0;
};
void convert(const ConvertArgs& args, const device::Queue& queue) noexcept;

/// Adds a bias [width] to every row of f32 or bf16 numbers.
struct BiasArgs {
  const float* bias = nullptr;
  float* y = nullptr;  // one of the two
  uint16_t* y_bf16 = nullptr;
  int64_t y_stride = 0;
  int64_t tokens = 0;
  int64_t width = 0;
};
void add_bias(const BiasArgs& args, const device::Queue& queue) noexcept;

/// Row i of y is row rows[i] of x. The row numbers travel with the launch.
struct TakeRowsArgs {
  static constexpr int64_t most_rows = 32;
  const float* x = nullptr;
  int64_t x_stride = 0;
  float* y = nullptr;
  int64_t y_stride = 0;
  int64_t width = 0;
  int64_t count = 0;
  int32_t rows[most_rows] = {};
};
void take_rows(const TakeRowsArgs& args, const device::Queue& queue) noexcept;

}  // namespace ktx::ops::cuda
