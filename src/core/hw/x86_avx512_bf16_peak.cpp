// Peak multiply-adds of AVX-512 BF16.
#include <immintrin.h>

#include "core/hw/x86_peak.hpp"
#include "core/hw/x86_peak_sums.hpp"

namespace ktx::hw {
namespace {

void run(int64_t rounds) noexcept {
  const __m512 ones = _mm512_set1_ps(1), halves = _mm512_set1_ps(-0.5f);
  const __m512bh a = _mm512_cvtne2ps_pbh(ones, halves), b = _mm512_cvtne2ps_pbh(halves, ones);
  repeat(
      rounds, _mm512_setzero_ps(), [&](__m512 sum) __attribute__((always_inline)) {
        return _mm512_dpbf16_ps(sum, a, b);
      });
}

}  // namespace

constexpr PeakLoop peak_avx512_bf16 = {run, 2 * 32 * peak_sums};

}  // namespace ktx::hw
