// Decoding of Layout::x16 to bf16 panels: for one group of 16 rows [columns / 2][16 rows][2], the B
// tiles of AMX-bf16. Weights are rounded to the nearest bf16.
#pragma once

#include "ops/matmul/x86_integer_formats.hpp"
#include "ops/matmul/x86_simd_avx512.hpp"

namespace ktx::ops {
namespace {

using PanelSimd = Avx512;

/// Rounds and stores one pair of columns of 16 rows.
[[gnu::always_inline]] inline void put_pair(uint8_t* to, __m512 even, __m512 odd) {
  const __m512i half = _mm512_set1_epi32(0x8000);
  const __m512i low = _mm512_srli_epi32(_mm512_add_epi32(_mm512_castps_si512(even), half), 16);
  const __m512i high = _mm512_add_epi32(_mm512_castps_si512(odd), half);
  // (high & mask) | low
  _mm512_store_si512(to, _mm512_ternarylogic_epi32(
                             high, _mm512_set1_epi32(static_cast<int>(0xffff0000u)), low, 0xea));
}

/// The float `magic` with the bits of v under mask in its mantissa.
[[gnu::always_inline]] inline __m512 with_mantissa(__m512i v, int mask, int magic) {
  return _mm512_castsi512_ps(
      _mm512_ternarylogic_epi32(v, _mm512_set1_epi32(mask), _mm512_set1_epi32(magic), 0xea));
}

/// Codes of one byte: shifted to the top of the mantissa of 256.0f they read as 256 + code, which
/// the multiplication takes off again.
struct ByteCodes {
  __m512 s, m;
  [[gnu::always_inline]] ByteCodes(__m512 scale, __m512 min)
      : s(scale), m(_mm512_fmadd_ps(scale, _mm512_set1_ps(256), min)) {}
  [[gnu::always_inline]] __m512 weight(__m512i shifted_codes) const {
    return _mm512_fmsub_ps(with_mantissa(shifted_codes, 0x7f8000, 0x43800000), s, m);
  }
  /// 4 columns of 16 rows.
  [[gnu::always_inline]] void put(uint8_t* to, __m512i v) const {
    put_pair(to, weight(_mm512_slli_epi32(v, 15)), weight(_mm512_slli_epi32(v, 7)));
    put_pair(to + 64, weight(_mm512_srli_epi32(v, 1)), weight(_mm512_srli_epi32(v, 9)));
  }
};

/// Nibbles, likewise: at bit 16 of 128.0f, or at bit 12 of 2048.0f.
struct NibbleCodes {
  __m512 s, m16, m12;
  [[gnu::always_inline]] NibbleCodes(__m512 scale, __m512 min)
      : s(scale),
        m16(_mm512_fmadd_ps(scale, _mm512_set1_ps(128), min)),
        m12(_mm512_fmadd_ps(scale, _mm512_set1_ps(2048), min)) {}
  [[gnu::always_inline]] __m512 at16(__m512i v) const {
    return _mm512_fmsub_ps(with_mantissa(v, 0xf0000, 0x43000000), s, m16);
  }
  [[gnu::always_inline]] __m512 at12(__m512i v) const {
    return _mm512_fmsub_ps(with_mantissa(v, 0xf000, 0x45000000), s, m12);
  }
  /// 8 columns: the low nibbles of the four bytes, then the high ones.
  [[gnu::always_inline]] void put(uint8_t* to, __m512i v) const {
    const __m512i left12 = _mm512_slli_epi32(v, 12), left8 = _mm512_slli_epi32(v, 8);
    const __m512i right8 = _mm512_srli_epi32(v, 8), right12 = _mm512_srli_epi32(v, 12);
    put_pair(to, at12(left12), at16(left8));
    put_pair(to + 64, at16(v), at16(right8));
    put_pair(to + 128, at16(left12), at12(v));
    put_pair(to + 192, at12(right8), at16(right12));
  }
};

/// Columns [begin, begin + cols) of a group; begin is a multiple of 512.
struct DecodeArgs {
  const uint8_t* group;
  int64_t begin, cols;
  uint8_t* panel;
};

template <class Format>
struct IntegerPanel {
  static constexpr int scales = Format::scales;
  static constexpr bool halves = scales > Format::blocks;

  [[gnu::always_inline]] static void put_block(const Unit<PanelSimd, scales>& unit, int64_t j,
                                               uint8_t* to) {
    const int64_t scale = scales == 1 ? 0 : halves ? 2 * j : j;
    if constexpr (Format::bits == 4) {
      const NibbleCodes codes(unit.s[scale], unit.m[scale]);
      unroll<0, 4>([&](auto i) __attribute__((always_inline)) {
        codes.put(to + i * 256, PanelSimd::load(unit.codes + j * 256 + i * 64));
      });
    } else {
      unroll<0, 8>([&](auto k) __attribute__((always_inline)) {
        const int64_t own = halves ? scale + k / 4 : scale;
        const ByteCodes codes(unit.s[own], unit.m[own]);
        codes.put(to + k * 128, Format::template codes<k>(unit.codes, j, 0));
      });
    }
  }

  static void decode(const DecodeArgs& a) noexcept {
    constexpr int64_t columns = Format::blocks * 32;
    uint8_t* to = a.panel;
    for (int64_t u = a.begin / columns; u < (a.begin + a.cols) / columns; ++u) {
      Unit<PanelSimd, scales> unit = Format::open(a.group, u, 0);
      if constexpr (Format::row_scale) {
        const __m512 scale = Format::scale_of_row(a.group, 0);
        unit.m[0] = _mm512_mul_ps(unit.m[0], scale);
        unit.s[0] = scale;
      }
      for (int64_t j = 0; j < Format::blocks; ++j, to += 1024) put_block(unit, j, to);
    }
  }
};

struct F16Panel {
  static void decode(const DecodeArgs& a) noexcept {
    const uint8_t* from = a.group + a.begin * 32;
    for (int64_t c = 0; c < a.cols; c += 2)
      put_pair(a.panel + c * 32, PanelSimd::load_f16(from + c * 32),
               PanelSimd::load_f16(from + c * 32 + 32));
  }
};

struct Bf16Panel {
  static void decode(const DecodeArgs& a) noexcept {
    __builtin_memcpy(a.panel, a.group + a.begin * 32, static_cast<size_t>(a.cols) * 32);
  }
};

struct Fp8Panel {
  static void decode(const DecodeArgs& a) noexcept {
    const uint8_t* unit = a.group + a.begin / 128 * (64 + 2048);
    uint8_t* to = a.panel;
    for (int64_t c = 0; c < a.cols; c += 128, unit += 64 + 2048) {
      // 256: what load_e4m3 leaves out.
      const __m512 scale = _mm512_mul_ps(PanelSimd::load_f32(unit), _mm512_set1_ps(256));
      for (int64_t p = 0; p < 64; ++p, to += 64)
        put_pair(to, _mm512_mul_ps(PanelSimd::load_e4m3(unit + 64 + p * 32), scale),
                 _mm512_mul_ps(PanelSimd::load_e4m3(unit + 80 + p * 32), scale));
    }
  }
};

}  // namespace
}  // namespace ktx::ops
