// The kernels of an integer format with AVX-512 VNNI, for few tokens and many.
#pragma once

#include "ops/matmul/integer/x86_vnni_panel.hpp"

namespace ktx::ops {
namespace {

struct VnniDot {
  template <int Bits>
  static constexpr bool is_signed = false;
  using Sum = __m512i;
  [[gnu::always_inline]] static Sum start() { return _mm512_setzero_si512(); }
  template <int Bits>
  [[gnu::always_inline]] static __m512i weight(__m512i codes) {
    return codes;
  }
  template <int Bits, int K>
  [[gnu::always_inline]] static void step(Sum& sum, __m512i codes, __m512i x) {
    sum = _mm512_dpbusd_epi32(sum, codes, x);
  }
  [[gnu::always_inline]] static __m512i finish(Sum sum) { return sum; }
};

template <class S, class Format>
struct VnniKernel {
  static void run(const X16Args& a) noexcept {
    a.tokens < least_vnni_panel_tokens ? Integer<S, VnniDot, Format>::run(a)
                                       : multiply_panels<Format>(a);
  }
};

}  // namespace
}  // namespace ktx::ops
