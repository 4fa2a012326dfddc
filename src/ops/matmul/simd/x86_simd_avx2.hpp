// 256-bit vectors as the kernel templates use them: a group of 16 rows is two of them.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "ops/matmul/simd/x86_entries.hpp"
#include "ops/matmul/simd/x86_unroll.hpp"

namespace ktx::ops {
namespace {

struct Avx2 {
  static constexpr int lanes = 8;
  static constexpr int parts = 2;  // vectors that make a group of 16 rows
  static constexpr int max_tokens = 4;
  static constexpr bool looks_up_bytes = false;
  using F = __m256;
  using I = __m256i;

  [[gnu::always_inline]] static F zero() { return _mm256_setzero_ps(); }
  [[gnu::always_inline]] static F set(float value) { return _mm256_set1_ps(value); }
  [[gnu::always_inline]] static I zero_int() { return _mm256_setzero_si256(); }
  [[gnu::always_inline]] static I set_int(int value) { return _mm256_set1_epi32(value); }
  [[gnu::always_inline]] static I set_byte(int value) {
    return _mm256_set1_epi8(static_cast<char>(value));
  }
  [[gnu::always_inline]] static I load(const uint8_t* p) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  }
  [[gnu::always_inline]] static void store_int(uint8_t* p, I v) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), v);
  }
  [[gnu::always_inline]] static F load_f32(const uint8_t* p) {
    return _mm256_loadu_ps(reinterpret_cast<const float*>(p));
  }
  [[gnu::always_inline]] static F load_f16(const uint8_t* p) {
    return _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  /// The lower half of each lane as f16; upper halves are 0.
  [[gnu::always_inline]] static F from_f16(I v) {
    const __m256i packed = _mm256_packus_epi32(v, v);
    return _mm256_cvtph_ps(_mm256_castsi256_si128(_mm256_permute4x64_epi64(packed, 0x08)));
  }
  [[gnu::always_inline]] static I load_u8(const uint8_t* p) {
    return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
  }
  [[gnu::always_inline]] static I load_u16(const uint8_t* p) {
    return _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  [[gnu::always_inline]] static F load_bf16(const uint8_t* p) {
    return as_float(shift_left<16>(load_u16(p)));
  }
  // Eight rows of column C of two columns of e4m3 codes as value * 2^-8: through f16, which has the
  // same shape and one exponent bit more.
  template <int C>
  [[gnu::always_inline]] static F load_e4m3(const uint8_t* p, int part) {
    const auto* rows = reinterpret_cast<const __m128i*>(p + C * 16 + part * lanes);
    const __m128i code = _mm_cvtepi8_epi16(_mm_loadl_epi64(rows));
    const __m128i half =
        _mm_and_si128(_mm_slli_epi16(code, 7), _mm_set1_epi16(static_cast<short>(0xbf80)));
    return _mm256_cvtph_ps(half);
  }
  [[gnu::always_inline]] static F as_float(I v) { return _mm256_castsi256_ps(v); }
  [[gnu::always_inline]] static F to_float(I v) { return _mm256_cvtepi32_ps(v); }
  [[gnu::always_inline]] static I bit_and(I a, I b) { return _mm256_and_si256(a, b); }
  [[gnu::always_inline]] static I bit_or(I a, I b) { return _mm256_or_si256(a, b); }
  [[gnu::always_inline]] static I bit_xor(I a, I b) { return _mm256_xor_si256(a, b); }
  template <int N>
  [[gnu::always_inline]] static I shift_left(I v) {
    return _mm256_slli_epi32(v, N);
  }
  template <int N>
  [[gnu::always_inline]] static I shift_right(I v) {
    return _mm256_srli_epi32(v, N);
  }
  [[gnu::always_inline]] static I shift_right_by(I v, int bits) {
    return _mm256_srl_epi32(v, _mm_cvtsi32_si128(bits));
  }
  template <int N>
  [[gnu::always_inline]] static I shift_right_signed(I v) {
    return _mm256_srai_epi32(v, N);
  }
  [[gnu::always_inline]] static I add(I a, I b) { return _mm256_add_epi32(a, b); }
  [[gnu::always_inline]] static I sub(I a, I b) { return _mm256_sub_epi32(a, b); }
  [[gnu::always_inline]] static I add_8(I a, I b) { return _mm256_add_epi8(a, b); }
  [[gnu::always_inline]] static F add(F a, F b) { return _mm256_add_ps(a, b); }
  [[gnu::always_inline]] static F mul(F a, F b) { return _mm256_mul_ps(a, b); }
  [[gnu::always_inline]] static F fma(F a, F b, F c) { return _mm256_fmadd_ps(a, b, c); }
  [[gnu::always_inline]] static F fnma(F a, F b, F c) { return _mm256_fnmadd_ps(a, b, c); }
  // Each byte of `index` (0..15) replaced by that byte of the 16 at `table`.
  [[gnu::always_inline]] static I look_up(const uint8_t* table, I index) {
    const __m128i row = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
    return _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(row), index);
  }
  /// Entries of 4 or 8 bytes by 32-bit indices; of 8 bytes the first halves, and the second ones.
  [[gnu::always_inline]] static I look_up_4(const void* table, I index) {
    return look_up_8_rows_4(table, index);
  }
  struct Halves {
    I of[2];
  };
  [[gnu::always_inline]] static Halves look_up_8(const void* table, I index) {
    const auto [first, second] = look_up_8_rows_8(table, index);
    return {{first, second}};
  }
  /// Byte B of each lane in all four of it.
  template <int B>
  [[gnu::always_inline]] static I repeat_byte(I v) {
    const __m128i bytes = _mm_setr_epi32(0, 0x04040404, 0x08080808, 0x0c0c0c0c);
    return _mm256_shuffle_epi8(v,
                               _mm256_broadcastsi128_si256(_mm_add_epi8(bytes, _mm_set1_epi8(B))));
  }
  /// Each byte of v: `base` minus it where the bit of `bits` is set in the same byte of `flags`,
  /// else `base` plus it. bits: one in each byte.
  [[gnu::always_inline]] static I plus_minus(I base, I v, I flags, I bits) {
    const I minus = _mm256_cmpeq_epi8(_mm256_and_si256(flags, bits), bits);
    return _mm256_add_epi8(base, _mm256_sub_epi8(_mm256_xor_si256(v, minus), minus));
  }
  // The first `rows` lanes; none when rows <= 0.
  [[gnu::always_inline]] static void store(float* p, F v, int64_t rows) {
    if (rows >= lanes) {
      _mm256_storeu_ps(p, v);
      return;
    }
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const int count = rows < 0 ? 0 : static_cast<int>(rows);
    _mm256_maskstore_ps(p, _mm256_cmpgt_epi32(_mm256_set1_epi32(count), lane), v);
  }

  // Dots of 8-bit vectors through 16-bit sums.
  [[gnu::always_inline]] static I add_16(I a, I b) { return _mm256_add_epi16(a, b); }
  [[gnu::always_inline]] static I multiply_pairs(I u, I s) { return _mm256_maddubs_epi16(u, s); }
  [[gnu::always_inline]] static I sum_pairs(I v) {
    return _mm256_madd_epi16(v, _mm256_set1_epi16(1));
  }
  [[gnu::always_inline]] static I magnitude(I v) { return _mm256_abs_epi8(v); }
  [[gnu::always_inline]] static I with_sign_of(I value, I sign) {
    return _mm256_sign_epi8(value, sign);
  }
};

}  // namespace
}  // namespace ktx::ops
