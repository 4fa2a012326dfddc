// Peak multiply-adds of AVX-512 VNNI: int8.
#include <immintrin.h>

#include "core/hw/x86_peak.hpp"
#include "core/hw/x86_peak_sums.hpp"

namespace ktx::hw {
namespace {

void run(int64_t rounds) noexcept {
  const __m512i codes = _mm512_set1_epi8(101), x = _mm512_set1_epi8(-77);
  repeat(
      rounds, _mm512_setzero_si512(), [&](__m512i sum) __attribute__((always_inline)) {
        return _mm512_dpbusd_epi32(sum, codes, x);
      });
}

}  // namespace

constexpr PeakLoop peak_avx512_vnni_int8 = {run, 2 * 64 * peak_sums};

}  // namespace ktx::hw
