// q8 quantization of activations with 256-bit vectors; the same bits as quantize_q8.
#pragma once

#include <immintrin.h>

#include "ops/matmul/x16_args.hpp"

namespace ktx::ops {
namespace {

[[gnu::always_inline]] inline __m256i load_eight(const float* x) {
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(x));
}

// Largest magnitude of 32 numbers; compared as integers, so that a NaN is the largest.
[[gnu::always_inline]] inline float absmax32(const float* x) {
  const __m256i mask = _mm256_set1_epi32(0x7fffffff);
  __m256i most = _mm256_and_si256(load_eight(x), mask);
  for (int i = 8; i < 32; i += 8)
    most = _mm256_max_epu32(most, _mm256_and_si256(load_eight(x + i), mask));
  __m128i m = _mm_max_epu32(_mm256_castsi256_si128(most), _mm256_extracti128_si256(most, 1));
  m = _mm_max_epu32(m, _mm_shuffle_epi32(m, 0x4e));
  m = _mm_max_epu32(m, _mm_shuffle_epi32(m, 0xb1));
  return _mm_cvtss_f32(_mm_castsi128_ps(m));
}

// Nearest integers; 0 for NaN and infinity.
[[gnu::always_inline]] inline __m256i steps(const float* x, __m256 inverse) {
  const __m256 scaled = _mm256_mul_ps(_mm256_loadu_ps(x), inverse);
  const __m256 size = _mm256_andnot_ps(_mm256_set1_ps(-0.0f), scaled);
  const __m256 valid = _mm256_cmp_ps(size, _mm256_set1_ps(127.5f), _CMP_LT_OQ);
  return _mm256_cvtps_epi32(_mm256_and_ps(scaled, valid));
}

[[gnu::always_inline]] inline int sum16(__m128i bytes) {
  const __m128i biased = _mm_xor_si128(bytes, _mm_set1_epi8(static_cast<char>(0x80)));
  const __m128i sums = _mm_sad_epu8(biased, _mm_setzero_si128());
  return _mm_cvtsi128_si32(sums) + _mm_extract_epi16(sums, 4) - 16 * 128;
}

void quantize(const QuantizeArgs& args) noexcept {
  for (int64_t b = 0; b < args.blocks; ++b) {
    const float* x = args.x + b * 32;
    const float most = absmax32(x);
    const bool zero = most < 1e-30f;
    const float scale = zero ? 0.0f : most / 127.0f;
    const __m256 inverse = _mm256_set1_ps(zero ? 0.0f : 127.0f / most);
    const __m256i low = _mm256_packs_epi32(steps(x, inverse), steps(x + 8, inverse));
    const __m256i high = _mm256_packs_epi32(steps(x + 16, inverse), steps(x + 24, inverse));
    // Packing works within halves of the register; the permutation puts the words in order.
    const __m256i bytes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(low, high),
                                                      _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(args.q + b * 32), bytes);
    const int first = sum16(_mm256_castsi256_si128(bytes));
    const int second = sum16(_mm256_extracti128_si256(bytes, 1));
    args.scales[b] = scale;
    args.sums[b] = scale * static_cast<float>(first + second);
    args.half_sums[b * 2] = scale * static_cast<float>(first);
    args.half_sums[b * 2 + 1] = scale * static_cast<float>(second);
  }
}

}  // namespace
}  // namespace ktx::ops
