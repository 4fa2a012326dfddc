// Floats rounded to bf16 by the instructions of AVX-512 BF16, as x86_tile_panels.hpp wants them.
#pragma once

#include <immintrin.h>

namespace ktx::ops {
namespace {

struct Bf16Vectors {
  [[gnu::always_inline]] static __m512i in_order(__m512 a, __m512 b) {
    return __builtin_bit_cast(__m512i, _mm512_cvtne2ps_pbh(b, a));
  }
  [[gnu::always_inline]] static __m512i in_pairs(__m512 a, __m512 b) {
    const __m512i order = _mm512_setr_epi32(
        0x100000, 0x110001, 0x120002, 0x130003, 0x140004, 0x150005, 0x160006, 0x170007, 0x180008,
        0x190009, 0x1a000a, 0x1b000b, 0x1c000c, 0x1d000d, 0x1e000e, 0x1f000f);
    return _mm512_permutexvar_epi16(order, in_order(a, b));
  }
};

}  // namespace
}  // namespace ktx::ops
