// The tiles of x86_tiles_amx.hpp on AVX-512 BF16, bf16 products alone: what runs the panel kernel
// with vdpbf16ps, on CPUs without AMX (Zen 4 and 5).
//
// Tiles 0..3, the sums, are kept here; operands stay where load() finds them. A product is 256
// instructions on 16 registers of sums, which cost 32 more to fetch and to put back.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "ops/matmul/simd/x86_unroll.hpp"
#include "ops/matmul/tiles/tiles.hpp"

namespace ktx::ops {
namespace {

class Bf16Tiles {
 public:
  template <int T>
  [[gnu::always_inline]] void zero() noexcept {
    static_assert(T < sums);
    for (auto& row : sums_[T]) row = _mm512_setzero_ps();
  }
  /// stride: bytes between rows; 64 for right operands.
  template <int T, Again = Again::soon>
  [[gnu::always_inline]] void load(const void* p, int64_t stride) noexcept {
    const auto* from = static_cast<const uint8_t*>(p);
    if constexpr (T >= sums)
      operands_[T - sums] = {from, stride};
    else
      for (int r = 0; r < 16; ++r) sums_[T][r] = _mm512_loadu_ps(from + r * stride);
  }
  template <int T>
  [[gnu::always_inline]] void store(void* p, int64_t stride) noexcept {
    static_assert(T < sums);
    auto* to = static_cast<uint8_t*>(p);
    for (int r = 0; r < 16; ++r) _mm512_storeu_ps(to + r * stride, sums_[T][r]);
  }
  /// C[m][n] += sum over k of A[m][k] * B[k / 2][n][k % 2], 32 bf16 k, in f32.
  template <int C, int A, int B>
  [[gnu::always_inline]] void dot_bf16() noexcept {
    multiply(operands_[A - sums], operands_[B - sums], sums_[C]);
  }

 private:
  static constexpr int sums = 4;

  struct Operand {
    const uint8_t* rows;
    int64_t stride;
  };

  [[gnu::noinline]] static void multiply(Operand a, Operand b, __m512* c) noexcept {
    __m512 sum[16];
    unroll<0, 16>([&](auto m) __attribute__((always_inline)) { sum[m] = c[m]; });
    for (int64_t pair = 0; pair < 16; ++pair) {
      const auto right = reinterpret_cast<__m512bh>(_mm512_loadu_si512(b.rows + pair * 64));
      unroll<0, 16>([&](auto m) __attribute__((always_inline)) {
        int32_t left;
        __builtin_memcpy(&left, a.rows + m * a.stride + pair * 4, sizeof(left));
        sum[m] =
            _mm512_dpbf16_ps(sum[m], reinterpret_cast<__m512bh>(_mm512_set1_epi32(left)), right);
      });
    }
    unroll<0, 16>([&](auto m) __attribute__((always_inline)) { c[m] = sum[m]; });
  }

  __m512 sums_[sums][16];
  Operand operands_[4];
};

}  // namespace
}  // namespace ktx::ops
