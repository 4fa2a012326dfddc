// Inner loops over f32 rows that attention, router, norm and elementwise are made of, one set per
// ISA; and what makes such rows of 16-bit and 8-bit floats.
//
// Plain structs only: the ISA units include this file. Any stride and any size is allowed, no
// pointer needs alignment, and a row's result does not depend on the other rows of the call (so
// that blocking and thread counts change nothing).
#pragma once

#include <cstddef>
#include <cstdint>

namespace ktx::ops::f32 {

/// c[i, j] = scale * sum over l of a[i, l] b[j, l], or with `add` c[i, j] += that.
struct DotsArgs {
  const float* a = nullptr;  // [m, k]
  int64_t a_stride = 0;      // strides in floats
  const float* b = nullptr;  // [n, k]
  int64_t b_stride = 0;
  float* c = nullptr;  // [m, n], overwritten
  int64_t c_stride = 0;
  int64_t m = 0, n = 0, k = 0;
  float scale = 1;
  bool add = false;
};

/// c[i, j] = c_scale[i] * c[i, j] + sum over l of a[i, l] b[l, j].
struct AccumulateArgs {
  const float* a = nullptr;  // [m, k]
  int64_t a_stride = 0;
  const float* b = nullptr;  // [k, n]
  int64_t b_stride = 0;
  float* c = nullptr;  // [m, n]
  int64_t c_stride = 0;
  const float* c_scale = nullptr;  // [m]; null: c starts at 0 and is not read
  int64_t m = 0, n = 0, k = 0;
};

struct Functions {
  void (*dots)(const DotsArgs& args) noexcept;
  void (*accumulate)(const AccumulateArgs& args) noexcept;
  /// The largest of x[0, n); -infinity for n == 0.
  float (*max)(const float* x, int64_t n) noexcept;
  /// x[i] = exp(x[i] - shift); returns their sum. shift >= max(x); relative error at most 1e-6;
  /// 0 where exp is below 1.2e-38.
  float (*exp_sum)(float* x, int64_t n, float shift) noexcept;
  float (*sum_squares)(const float* x, int64_t n) noexcept;
  /// y[i] = gate[i] / (1 + exp(-gate[i])) * up[i]. y may be gate or up.
  void (*silu_mul)(const float* gate, const float* up, float* y, int64_t n) noexcept;
  /// y[i] = the i-th bf16 of x.
  void (*from_bf16)(const std::byte* x, float* y, int64_t n) noexcept;
  /// y[i] = scale times the value of the i-th e4m3 code of x.
  void (*from_e4m3)(const std::byte* x, float scale, float* y, int64_t n) noexcept;
};

extern const Functions ref_functions;
extern const Functions avx2_functions;
extern const Functions avx512_functions;

}  // namespace ktx::ops::f32
