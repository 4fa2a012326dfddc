// Rounding of floats to bf16, for machines without AVX-512 BF16.
#pragma once

#include <immintrin.h>

namespace ktx::ops {
namespace {

/// The upper halves of the result are the nearest bf16, ties to even; a NaN stays one.
[[gnu::always_inline]] inline __m512i to_bf16(__m512 value) {
  const __m512i bits = _mm512_castps_si512(value);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
  const __m512i nearest = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
  return _mm512_mask_or_epi32(nearest, _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q), bits,
                              _mm512_set1_epi32(0x400000));
}

}  // namespace
}  // namespace ktx::ops
