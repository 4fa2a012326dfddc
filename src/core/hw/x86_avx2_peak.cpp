// Peak multiply-adds of AVX2: f32, and int8 through 16-bit sums.
#include <immintrin.h>

#include "core/hw/x86_peak.hpp"
#include "core/hw/x86_peak_sums.hpp"

namespace ktx::hw {
namespace {

void run_f32(int64_t rounds) noexcept {
  const __m256 a = _mm256_set1_ps(0.5f), b = _mm256_set1_ps(0.25f);
  repeat(
      rounds, _mm256_setzero_ps(), [&](__m256 sum) __attribute__((always_inline)) {
        return _mm256_fmadd_ps(sum, a, b);
      });
}

// As kernels do it: products of pairs, added as 16-bit numbers.
void run_int8(int64_t rounds) noexcept {
  const __m256i codes = _mm256_set1_epi8(3);
  repeat(
      rounds, _mm256_set1_epi8(1), [&](__m256i sum) __attribute__((always_inline)) {
        return _mm256_add_epi16(sum, _mm256_maddubs_epi16(codes, sum));
      });
}

}  // namespace

constexpr PeakLoop peak_avx2_f32 = {run_f32, 2 * 8 * peak_sums};
constexpr PeakLoop peak_avx2_int8 = {run_int8, 2 * 32 * peak_sums};

}  // namespace ktx::hw
