// Peak multiply-adds of AVX-512: f32.
#include <immintrin.h>

#include "core/hw/x86_peak.hpp"
#include "core/hw/x86_peak_sums.hpp"

namespace ktx::hw {
namespace {

void run(int64_t rounds) noexcept {
  const __m512 a = _mm512_set1_ps(0.5f), b = _mm512_set1_ps(0.25f);
  repeat(
      rounds, _mm512_setzero_ps(), [&](__m512 sum) __attribute__((always_inline)) {
        return _mm512_fmadd_ps(sum, a, b);
      });
}

}  // namespace

constexpr PeakLoop peak_avx512_f32 = {run, 2 * 16 * peak_sums};

}  // namespace ktx::hw
