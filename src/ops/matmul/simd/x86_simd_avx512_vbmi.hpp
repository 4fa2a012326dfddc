// 512-bit vectors of CPUs that look bytes up in registers (VBMI).
#pragma once

#include "ops/matmul/simd/x86_simd_avx512.hpp"

namespace ktx::ops {
namespace {

struct Avx512Vbmi : Avx512 {
  static constexpr bool looks_up_bytes = true;

  /// Byte i of each 32-bit lane: 8 bits from bit From + Step * i of the lane on. What lies outside
  /// the lane is anything.
  template <int From, int Step>
  [[gnu::always_inline]] static I spread(I v) {
    return _mm512_multishift_epi64_epi8(_mm512_set1_epi64(shifts(From, Step, 4)), v);
  }
  /// The first two bytes of spread<From, Step>(v), then those of w.
  template <int From, int Step>
  [[gnu::always_inline]] static I spread_two(I v, I w) {
    const I bits = _mm512_set1_epi64(shifts(From, Step, 2));
    return _mm512_mask_multishift_epi64_epi8(_mm512_multishift_epi64_epi8(bits, v),
                                             0xcccccccccccccccc, bits, w);
  }
  /// Entries of 64: an index is the lower 6 bits of a byte.
  [[gnu::always_inline]] static I look_up_64(const uint8_t* table, I index) {
    return _mm512_permutexvar_epi8(index, _mm512_load_si512(table));
  }
  /// Of 128: the lower 7 bits.
  [[gnu::always_inline]] static I look_up_128(const uint8_t* table, I index) {
    return _mm512_permutex2var_epi8(_mm512_load_si512(table), index, _mm512_load_si512(table + 64));
  }
  /// The bits of a where mask is 1, of b where it is 0.
  [[gnu::always_inline]] static I select(I mask, I a, I b) {
    return _mm512_ternarylogic_epi32(mask, a, b, 0xca);
  }
  /// The bits of a where mask is 1, of ~b where it is 0.
  [[gnu::always_inline]] static I select_not(I mask, I a, I b) {
    return _mm512_ternarylogic_epi32(mask, a, b, 0xc5);
  }
  /// Unsigned bytes.
  [[gnu::always_inline]] static __mmask64 at_least(I v, I least) {
    return _mm512_cmpge_epu8_mask(v, least);
  }
  template <int Bit>
  [[gnu::always_inline]] static __mmask64 has_bit(I v) {
    if constexpr (Bit == 7) return _mm512_movepi8_mask(v);
    return _mm512_test_epi8_mask(v, _mm512_set1_epi8(1 << Bit));
  }
  /// The bytes of a where the mask has a bit, of b elsewhere.
  [[gnu::always_inline]] static I pick(__mmask64 mask, I a, I b) {
    return _mm512_mask_blend_epi8(mask, b, a);
  }

 private:
  /// The operand of multishift for two lanes; byte i is as byte i % repeat.
  static constexpr long long shifts(int from, int step, int repeat) {
    uint64_t all = 0;
    for (int i = 7; i >= 0; --i)
      all = all << 8 | static_cast<uint64_t>((i / 4 * 32 + from + i % 4 % repeat * step) & 63);
    return static_cast<long long>(all);
  }
};

}  // namespace
}  // namespace ktx::ops
