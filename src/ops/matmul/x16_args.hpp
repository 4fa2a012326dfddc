// What the kernels of one ISA are given and export: plain structs, for the ISA units.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ktx::ops {

/// The formats that Layout::x16 exists for, in the order of X86Unit::run.
enum class X16 : uint8_t {
  f32,
  f16,
  bf16,
  fp8,
  q4_0,
  q4_1,
  q5_0,
  q5_1,
  q8_0,
  q2_k,
  q3_k,
  q4_k,
  q5_k,
  q6_k,
  iq4_nl,
  iq4_xs,
  mxfp4,
  iq3_s,
  iq3_xxs,
  iq2_s,
  iq2_xs,
  iq2_xxs,
  iq1_s,
  iq1_m,
  int8,
  int8_32,
  int8_64,
  int8_128,
  int4_32,
  int4_64,
  int4_128,
};
constexpr int x16_count = 31;

/// y[t, r] = x[t] . w[r] for the rows of consecutive groups of 16.
struct X16Args {
  const uint8_t* weights = nullptr;  // first group; 64-byte aligned
  int64_t group_bytes = 0;
  int64_t rows = 0;  // from the first group's first row
  int64_t cols = 0;
  const uint8_t* x = nullptr;  // row t at x + x_row_bytes * (x_rows ? x_rows[t] : t)
  int64_t x_row_bytes = 0;
  const int32_t* x_rows = nullptr;
  int64_t tokens = 0;
  // Where a q8 activation row keeps its scales and scaled sums, in bytes (activation.hpp).
  int64_t scales = 0, sums = 0, half_sums = 0;
  float* y = nullptr;  // y[t * y_stride + r]
  int64_t y_stride = 0;
  const uint8_t* next = nullptr;  // read after these weights; null: what lies behind them
};

/// Where one q8 activation row is written: blocks of 32 columns.
struct QuantizeArgs {
  const float* x = nullptr;  // [blocks * 32]
  int64_t blocks = 0;
  int8_t* q = nullptr;         // [blocks * 32]
  float* scales = nullptr;     // [blocks]
  float* sums = nullptr;       // [blocks]
  float* half_sums = nullptr;  // [blocks * 2]
};

/// The kernels compiled for one ISA. run holds null for a format whose best code needs less.
struct X86Unit {
  void (*run[x16_count])(const X16Args& args) noexcept;
  void (*quantize)(const QuantizeArgs& args) noexcept;
};

extern const X86Unit x86_avx2;
extern const X86Unit x86_avx512;
extern const X86Unit x86_avx512_vnni;
extern const X86Unit x86_avx512_vbmi;

}  // namespace ktx::ops
