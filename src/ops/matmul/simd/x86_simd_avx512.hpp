// 512-bit vectors as the kernel templates use them: one lane is one row of a group of 16.
#pragma once

#include <immintrin.h>

#include <cstdint>

#include "ops/matmul/simd/x86_entries.hpp"
#include "ops/matmul/simd/x86_unroll.hpp"

namespace ktx::ops {
namespace {

struct Avx512 {
  static constexpr int lanes = 16;
  static constexpr int parts = 1;  // vectors that make a group of 16 rows
  static constexpr int max_tokens = 8;
  static constexpr bool looks_up_bytes = false;  // Avx512Vbmi does
  using F = __m512;
  using I = __m512i;

  [[gnu::always_inline]] static F zero() { return _mm512_setzero_ps(); }
  [[gnu::always_inline]] static F set(float value) { return _mm512_set1_ps(value); }
  [[gnu::always_inline]] static I zero_int() { return _mm512_setzero_si512(); }
  [[gnu::always_inline]] static I set_int(int value) { return _mm512_set1_epi32(value); }
  [[gnu::always_inline]] static I set_byte(int value) {
    return _mm512_set1_epi8(static_cast<char>(value));
  }
  [[gnu::always_inline]] static I load(const uint8_t* p) { return _mm512_loadu_si512(p); }
  [[gnu::always_inline]] static void store_int(uint8_t* p, I v) { _mm512_storeu_si512(p, v); }
  [[gnu::always_inline]] static F load_f32(const uint8_t* p) { return _mm512_loadu_ps(p); }
  [[gnu::always_inline]] static F load_f16(const uint8_t* p) {
    return _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  /// The lower half of each lane as f16; upper halves are 0.
  [[gnu::always_inline]] static F from_f16(I v) {
    return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(v));
  }
  [[gnu::always_inline]] static I load_u8(const uint8_t* p) {
    return _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  }
  [[gnu::always_inline]] static I load_u16(const uint8_t* p) {
    return _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
  }
  [[gnu::always_inline]] static F load_bf16(const uint8_t* p) {
    return as_float(shift_left<16>(load_u16(p)));
  }
  // Column C of two columns of e4m3 codes as value * 2^-8: through f16, which has the same shape
  // and one exponent bit more. Both columns are turned to f16 at once.
  template <int C>
  [[gnu::always_inline]] static F load_e4m3(const uint8_t* p, int) {
    const __m512i code =
        _mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
    const __m512i half =
        _mm512_and_si512(_mm512_slli_epi16(code, 7), _mm512_set1_epi16(static_cast<short>(0xbf80)));
    return _mm512_cvtph_ps(C == 0 ? _mm512_castsi512_si256(half)
                                  : _mm512_extracti64x4_epi64(half, 1));
  }
  [[gnu::always_inline]] static F as_float(I v) { return _mm512_castsi512_ps(v); }
  [[gnu::always_inline]] static F to_float(I v) { return _mm512_cvtepi32_ps(v); }
  [[gnu::always_inline]] static I bit_and(I a, I b) { return _mm512_and_si512(a, b); }
  [[gnu::always_inline]] static I bit_or(I a, I b) { return _mm512_or_si512(a, b); }
  [[gnu::always_inline]] static I bit_xor(I a, I b) { return _mm512_xor_si512(a, b); }
  template <int N>
  [[gnu::always_inline]] static I shift_left(I v) {
    return _mm512_slli_epi32(v, N);
  }
  template <int N>
  [[gnu::always_inline]] static I shift_right(I v) {
    return _mm512_srli_epi32(v, N);
  }
  [[gnu::always_inline]] static I shift_right_by(I v, int bits) {
    return _mm512_srl_epi32(v, _mm_cvtsi32_si128(bits));
  }
  template <int N>
  [[gnu::always_inline]] static I shift_right_signed(I v) {
    return _mm512_srai_epi32(v, N);
  }
  [[gnu::always_inline]] static I add(I a, I b) { return _mm512_add_epi32(a, b); }
  [[gnu::always_inline]] static I sub(I a, I b) { return _mm512_sub_epi32(a, b); }
  [[gnu::always_inline]] static I add_8(I a, I b) { return _mm512_add_epi8(a, b); }
  [[gnu::always_inline]] static F add(F a, F b) { return _mm512_add_ps(a, b); }
  [[gnu::always_inline]] static F mul(F a, F b) { return _mm512_mul_ps(a, b); }
  [[gnu::always_inline]] static F fma(F a, F b, F c) { return _mm512_fmadd_ps(a, b, c); }
  [[gnu::always_inline]] static F fnma(F a, F b, F c) { return _mm512_fnmadd_ps(a, b, c); }
  // Each byte of `index` (0..15) replaced by that byte of the 16 at `table`.
  [[gnu::always_inline]] static I look_up(const uint8_t* table, I index) {
    const __m128i row = _mm_loadu_si128(reinterpret_cast<const __m128i*>(table));
    return _mm512_shuffle_epi8(_mm512_broadcast_i32x4(row), index);
  }
  /// Entries of 4 or 8 bytes by 32-bit indices; of 8 bytes the first halves, and the second ones.
  [[gnu::always_inline]] static I look_up_4(const void* table, I index) {
    return join(look_up_8_rows_4(table, _mm512_castsi512_si256(index)),
                look_up_8_rows_4(table, _mm512_extracti64x4_epi64(index, 1)));
  }
  struct Halves {
    I of[2];
  };
  [[gnu::always_inline]] static Halves look_up_8(const void* table, I index) {
    const auto a = look_up_8_rows_8(table, _mm512_castsi512_si256(index));
    const auto b = look_up_8_rows_8(table, _mm512_extracti64x4_epi64(index, 1));
    return {{join(a.first, b.first), join(a.second, b.second)}};
  }
  /// Byte B of each lane in all four of it.
  template <int B>
  [[gnu::always_inline]] static I repeat_byte(I v) {
    const __m128i bytes = _mm_setr_epi32(0, 0x04040404, 0x08080808, 0x0c0c0c0c);
    return _mm512_shuffle_epi8(v, _mm512_broadcast_i32x4(_mm_add_epi8(bytes, _mm_set1_epi8(B))));
  }
  /// Each byte of v: `base` minus it where the bit of `bits` is set in the same byte of `flags`,
  /// else `base` plus it. bits: one in each byte.
  [[gnu::always_inline]] static I plus_minus(I base, I v, I flags, I bits) {
    const __mmask64 minus = _mm512_test_epi8_mask(flags, bits);
    return _mm512_mask_sub_epi8(_mm512_add_epi8(base, v), minus, base, v);
  }
  // The first `rows` lanes.
  [[gnu::always_inline]] static void store(float* p, F v, int64_t rows) {
    if (rows >= lanes)
      _mm512_storeu_ps(p, v);
    else
      _mm512_mask_storeu_ps(p, static_cast<__mmask16>((1u << rows) - 1), v);
  }

  // Dots of 8-bit vectors through 16-bit sums, for CPUs without VNNI.
  [[gnu::always_inline]] static I add_16(I a, I b) { return _mm512_add_epi16(a, b); }
  [[gnu::always_inline]] static I multiply_pairs(I u, I s) { return _mm512_maddubs_epi16(u, s); }
  [[gnu::always_inline]] static I sum_pairs(I v) {
    return _mm512_madd_epi16(v, _mm512_set1_epi16(1));
  }
  [[gnu::always_inline]] static I magnitude(I v) { return _mm512_abs_epi8(v); }
  [[gnu::always_inline]] static I with_sign_of(I value, I sign) {
    return _mm512_mask_sub_epi8(value, _mm512_movepi8_mask(sign), _mm512_setzero_si512(), value);
  }

 private:
  [[gnu::always_inline]] static I join(__m256i a, __m256i b) {
    return _mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1);
  }
};

}  // namespace
}  // namespace ktx::ops
