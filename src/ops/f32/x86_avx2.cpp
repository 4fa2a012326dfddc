// The f32 functions with AVX2 and FMA.
#include <immintrin.h>

#include "ops/f32/loops.hpp"

namespace ktx::ops::f32 {
namespace {

struct Avx2 {
  using Reg = __m256;
  using Mask = __m256i;
  static constexpr int64_t width = 8;
  static constexpr int dots_rows = 3, accumulate_regs = 2;

  static Reg load(const float* p) noexcept { return _mm256_loadu_ps(p); }
  static Reg load(Mask mask, const float* p) noexcept { return _mm256_maskload_ps(p, mask); }
  static void store(float* p, Reg x) noexcept { _mm256_storeu_ps(p, x); }
  static void store(Mask mask, float* p, Reg x) noexcept { _mm256_maskstore_ps(p, mask, x); }
  static Mask first(int64_t n) noexcept {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(int(n)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
  }
  static Reg zero() noexcept { return _mm256_setzero_ps(); }
  static Reg broadcast(float x) noexcept { return _mm256_set1_ps(x); }
  static Reg add(Reg a, Reg b) noexcept { return _mm256_add_ps(a, b); }
  static Reg mul(Reg a, Reg b) noexcept { return _mm256_mul_ps(a, b); }
  static Reg div(Reg a, Reg b) noexcept { return _mm256_div_ps(a, b); }
  static Reg max(Reg a, Reg b) noexcept { return _mm256_max_ps(a, b); }
  static Reg fma(Reg a, Reg b, Reg c) noexcept { return _mm256_fmadd_ps(a, b, c); }
  static Reg flip(Reg a, Reg signs) noexcept { return _mm256_xor_ps(a, signs); }

  static float sum(Reg x) noexcept {
    __m128 r = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    r = _mm_add_ps(r, _mm_movehl_ps(r, r));
    return _mm_cvtss_f32(_mm_add_ss(r, _mm_movehdup_ps(r)));
  }
  static float highest(Reg x) noexcept {
    __m128 r = _mm_max_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps(x, 1));
    r = _mm_max_ps(r, _mm_movehl_ps(r, r));
    return _mm_cvtss_f32(_mm_max_ss(r, _mm_movehdup_ps(r)));
  }

  static Reg round(Reg x) noexcept {
    return _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  // In two factors, since 2^128 is no float.
  static Reg times_power_of_two(Reg x, Reg exponent) noexcept {
    const __m256i e = _mm256_cvtps_epi32(exponent);
    const __m256i half = _mm256_srai_epi32(e, 1);
    return mul(mul(x, power(half)), power(_mm256_sub_epi32(e, half)));
  }
  static Reg power(__m256i exponent) noexcept {
    return _mm256_castsi256_ps(
        _mm256_slli_epi32(_mm256_add_epi32(exponent, _mm256_set1_epi32(127)), 23));
  }

  // The bounds come first in min and max, so that a NaN passes through.
  static Reg exp(Reg x) noexcept {
    const Reg nonzero = _mm256_cmp_ps(x, broadcast(-87.33654f), _CMP_NLT_UQ);
    const Reg bounded = _mm256_min_ps(broadcast(89.0f), _mm256_max_ps(broadcast(-88.0f), x));
    return _mm256_and_ps(nonzero, exp_polynomial<Avx2>(bounded));
  }

  static Reg from_bf16(const std::byte* p) noexcept {
    const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
  }
  // A code's exponent and mantissa are those of an f16 whose exponent counts from 8 less.
  static Reg from_e4m3(const std::byte* p) noexcept {
    const __m128i codes = _mm_cvtepu8_epi16(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
    const __m128i magnitude = _mm_and_si128(codes, _mm_set1_epi16(0x7f));
    const __m128i sign = _mm_slli_epi16(_mm_sub_epi16(codes, magnitude), 8);
    const __m128i nan = _mm_cmpeq_epi16(magnitude, _mm_set1_epi16(0x7f));
    const __m128i f16 = _mm_or_si128(_mm_slli_epi16(magnitude, 7), sign);
    return _mm256_cvtph_ps(_mm_or_si128(f16, _mm_and_si128(nan, _mm_set1_epi16(0x7e00))));
  }

  /// out[j]: the sum of row[j]'s lanes.
  static void store_sums(const Reg (&row)[4], float* out) noexcept {
    const Reg ab = add(_mm256_unpacklo_ps(row[0], row[1]), _mm256_unpackhi_ps(row[0], row[1]));
    const Reg cd = add(_mm256_unpacklo_ps(row[2], row[3]), _mm256_unpackhi_ps(row[2], row[3]));
    const __m256d abd = _mm256_castps_pd(ab), cdd = _mm256_castps_pd(cd);
    const Reg lanes = add(_mm256_castpd_ps(_mm256_unpacklo_pd(abd, cdd)),
                          _mm256_castpd_ps(_mm256_unpackhi_pd(abd, cdd)));
    _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(lanes), _mm256_extractf128_ps(lanes, 1)));
  }
};

}  // namespace

const Functions avx2_functions = functions_of<Avx2>();

}  // namespace ktx::ops::f32
