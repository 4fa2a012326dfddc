// The f32 functions with AVX-512.

// GCC 12 warns of its own _mm512_undefined_ps() in inlined intrinsics (GCC bug 105593).
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>

#include "ops/f32/loops.hpp"

namespace ktx::ops::f32 {
namespace {

struct Avx512 {
  using Reg = __m512;
  using Mask = __mmask16;
  static constexpr int64_t width = 16;
  static constexpr int dots_rows = 4, accumulate_regs = 4;

  static Reg load(const float* p) noexcept { return _mm512_loadu_ps(p); }
  static Reg load(Mask mask, const float* p) noexcept { return _mm512_maskz_loadu_ps(mask, p); }
  static void store(float* p, Reg x) noexcept { _mm512_storeu_ps(p, x); }
  static void store(Mask mask, float* p, Reg x) noexcept { _mm512_mask_storeu_ps(p, mask, x); }
  static Mask first(int64_t n) noexcept { return Mask((1u << n) - 1); }
  static Reg zero() noexcept { return _mm512_setzero_ps(); }
  static Reg broadcast(float x) noexcept { return _mm512_set1_ps(x); }
  static Reg add(Reg a, Reg b) noexcept { return _mm512_add_ps(a, b); }
  static Reg mul(Reg a, Reg b) noexcept { return _mm512_mul_ps(a, b); }
  static Reg div(Reg a, Reg b) noexcept { return _mm512_div_ps(a, b); }
  static Reg max(Reg a, Reg b) noexcept { return _mm512_max_ps(a, b); }
  static Reg fma(Reg a, Reg b, Reg c) noexcept { return _mm512_fmadd_ps(a, b, c); }
  static Reg flip(Reg a, Reg signs) noexcept { return _mm512_xor_ps(a, signs); }
  static float sum(Reg x) noexcept { return _mm512_reduce_add_ps(x); }
  static float highest(Reg x) noexcept { return _mm512_reduce_max_ps(x); }

  static Reg round(Reg x) noexcept {
    return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  static Reg times_power_of_two(Reg x, Reg exponent) noexcept {
    return _mm512_scalef_ps(x, exponent);
  }

  // The bounds come first in min and max, so that a NaN passes through.
  static Reg exp(Reg x) noexcept {
    const Mask nonzero = _mm512_cmp_ps_mask(x, broadcast(-87.33654f), _CMP_NLT_UQ);
    const Reg bounded = _mm512_min_ps(broadcast(89.0f), _mm512_max_ps(broadcast(-88.0f), x));
    return _mm512_maskz_mov_ps(nonzero, exp_polynomial<Avx512>(bounded));
  }

  static Reg from_bf16(const std::byte* p) noexcept {
    const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
  }
  // A code's exponent and mantissa are those of an f16 whose exponent counts from 8 less.
  static Reg from_e4m3(const std::byte* p) noexcept {
    const __m256i codes =
        _mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
    const __m256i magnitude = _mm256_and_si256(codes, _mm256_set1_epi16(0x7f));
    const __m256i sign = _mm256_slli_epi16(_mm256_sub_epi16(codes, magnitude), 8);
    const __m256i nan = _mm256_cmpeq_epi16(magnitude, _mm256_set1_epi16(0x7f));
    const __m256i f16 = _mm256_or_si256(_mm256_slli_epi16(magnitude, 7), sign);
    return _mm512_cvtph_ps(_mm256_or_si256(f16, _mm256_and_si256(nan, _mm256_set1_epi16(0x7e00))));
  }

  /// out[j]: the sum of row[j]'s lanes.
  static void store_sums(const Reg (&row)[4], float* out) noexcept {
    const Reg ab = add(_mm512_unpacklo_ps(row[0], row[1]), _mm512_unpackhi_ps(row[0], row[1]));
    const Reg cd = add(_mm512_unpacklo_ps(row[2], row[3]), _mm512_unpackhi_ps(row[2], row[3]));
    const __m512d abd = _mm512_castps_pd(ab), cdd = _mm512_castps_pd(cd);
    const Reg lanes = add(_mm512_castpd_ps(_mm512_unpacklo_pd(abd, cdd)),
                          _mm512_castpd_ps(_mm512_unpackhi_pd(abd, cdd)));
    const __m256 half =
        _mm256_add_ps(_mm512_castps512_ps256(lanes), _mm512_extractf32x8_ps(lanes, 1));
    _mm_storeu_ps(out, _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1)));
  }
};

}  // namespace

const Functions avx512_functions = functions_of<Avx512>();

}  // namespace ktx::ops::f32
