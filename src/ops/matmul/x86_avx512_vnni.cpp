// Kernels of the integer formats of Layout::x16 for AVX-512 VNNI.
#include "ops/matmul/integer/x86_vnni_panel.hpp"

namespace ktx::ops {
namespace {

using S = Avx512;

struct VnniDot {
  template <int Bits>
  static constexpr bool is_signed = false;
  using Sum = __m512i;
  [[gnu::always_inline]] static Sum start() { return S::zero_int(); }
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

template <class Format>
struct Vnni {
  static void run(const X16Args& a) noexcept {
    a.tokens < least_vnni_panel_tokens ? Integer<S, VnniDot, Format>::run(a)
                                       : multiply_panels<Format>(a);
  }
};

}  // namespace

constexpr X86Unit x86_avx512_vnni = {
    .run = {nullptr,
            nullptr,
            nullptr,
            nullptr,
            Vnni<Q4_0<S>>::run,
            Vnni<Q4_1<S>>::run,
            Vnni<Q5_0<S>>::run,
            Vnni<Q5_1<S>>::run,
            Vnni<Q8_0<S>>::run,
            Vnni<Q2K<S>>::run,
            Vnni<Q3K<S>>::run,
            Vnni<Q4K<S>>::run,
            Vnni<Q5K<S>>::run,
            Vnni<Q6K<S>>::run,
            Vnni<Iq4Nl<S>>::run,
            Vnni<Iq4Xs<S>>::run,
            Vnni<Mxfp4<S>>::run,
            Vnni<Int8Row<S>>::run,
            Vnni<Int8Group<S, 32>>::run,
            Vnni<Int8Group<S, 64>>::run,
            Vnni<Int8Group<S, 128>>::run,
            Vnni<Int4Group<S, 32>>::run,
            Vnni<Int4Group<S, 64>>::run,
            Vnni<Int4Group<S, 128>>::run},
    .dot = nullptr,
    .quantize = nullptr,
};

}  // namespace ktx::ops
