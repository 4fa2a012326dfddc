// Integer weights of Layout::x16 as int8 tiles with a scale for every row and chunk of columns:
// w about scale * q. Tiles are the right operand: 64 bytes hold 4 columns of 16 rows, as the layout
// has them, so nothing is turned.
//
// A chunk's scale follows from the scales of its blocks alone: no weight is larger than the ends of
// what a block's codes can say. With c the code in the upper bits of a byte, counted from the
// smaller end (c = code, or its complement where s is negative), a weight is
//   q = floor(|s| / scale * c) + round(end / scale + what floor takes away), or with a zero point
//   q = floor(|s| / scale * c) - floor(|s| / scale * zero), so that zero stays zero,
// where the product is the upper half of one of 16 bits, for even and odd bytes each. That rounds
// twice: q strays by less than 1, on average by 0.41 (by 0.29 when rounded once; the weights' own
// steps of 4 bits are 17 of these).
//
// Instructions of the two vector ports for 512 weights (16 rows of a block of 32 columns): 52 for
// codes of 4 bits, 48 for codes of 8, 56 for others after they have been made; 15 for the block's
// scale, and for q4_k 8 to read it. So q4_k takes 75, about 38 cycles (measured: 14 to 16 ns),
// while memory at 8 bytes a cycle brings its 288 bytes in 36 and the tile unit multiplies by 16
// tokens in 8, by 64 in 32.
#pragma once

#include "ops/matmul/integer/x86_integer_formats.hpp"
#include "ops/matmul/simd/x86_simd_avx512.hpp"
#include "ops/matmul/tiles/tiles.hpp"

namespace ktx::ops {
namespace {

constexpr int64_t chunk_blocks = int8_chunk / 32;
constexpr int64_t most_scales = 2 * chunk_blocks;

/// 16 rows of one chunk, ready to be decoded tile by tile.
struct OpenedChunk {
  const uint8_t* codes[chunk_blocks];  // of the unit that holds the block
  // For each scale of blocks or halves of blocks:
  alignas(64) uint8_t factor[most_scales][64];  // 16 bits, twice for each row
  alignas(64) uint8_t end[most_scales][64];     // a byte, four times for each row
  alignas(64) uint8_t flip[most_scales][64];    // all bits where codes count from the other end
  alignas(64) float row_scales[16];
};

struct ChunkArgs {
  const uint8_t* group;
  int64_t col, cols;  // from a chunk's first column on; multiples of 64
};

/// How a format becomes tiles.
struct Requantizer {
  void (*open)(const ChunkArgs& args, OpenedChunk& chunk) noexcept;
  /// Columns 64 * step .. of the chunk.
  void (*put)(const OpenedChunk& chunk, int64_t step, uint8_t* tile) noexcept;
};

/// The largest |weight / scale|: factors have 16 bits, which allows 128 - 128 / 2^bits, and q may
/// be one more. Half a number, so that what floor takes from a block's weights and from its zero
/// point is the same on average where the block has the chunk's largest scale.
constexpr float largest_quantum(int bits) {
  const int whole = 128 - 128 / (1 << bits);
  return static_cast<float>(whole < 126 ? whole : 126) - 0.5f;
}

/// The byte of each 32-bit word, or its 16 bits, that is repeated in it.
[[gnu::always_inline]] inline __m512i repeat_byte(__m512i v) {
  return _mm512_shuffle_epi8(
      v, _mm512_broadcast_i32x4(_mm_setr_epi8(0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12)));
}
[[gnu::always_inline]] inline __m512i repeat_half(__m512i v) {
  return _mm512_shuffle_epi8(
      v, _mm512_broadcast_i32x4(_mm_setr_epi8(0, 1, 0, 1, 4, 5, 4, 5, 8, 9, 8, 9, 12, 13, 12, 13)));
}

template <class Format>
struct Requantize {
  static constexpr bool nibbles = Format::bits == 4;
  static constexpr float largest_code = static_cast<float>((1 << Format::bits) - 1);
  static constexpr bool halves = Format::scales > Format::blocks, zero_point = Format::zero >= 0;

  static void open(const ChunkArgs& a, OpenedChunk& chunk) noexcept {
    alignas(64) float s[most_scales][16], ends[most_scales][16];
    __m512i most = _mm512_setzero_si512();
    int64_t scales = 0;
    for (int64_t i = 0; i < a.cols / 32; i += Format::blocks) {
      const auto unit = Format::open(a.group, (a.col / 32 + i) / Format::blocks, 0);
      for (int64_t b = 0; b < Format::blocks; ++b) chunk.codes[i + b] = unit.codes;
      unroll<0, Format::scales>([&](auto n) __attribute__((always_inline)) {
        const __m512 one = _mm512_fmsub_ps(unit.s[n], _mm512_set1_ps(largest_code), unit.m[n]);
        const __m512 other = _mm512_sub_ps(_mm512_setzero_ps(), unit.m[n]);
        // Of positive floats as integers the largest is a NaN, if there is one.
        most = _mm512_max_epu32(most, _mm512_max_epu32(magnitude(one), magnitude(other)));
        _mm512_store_ps(s[scales + n], unit.s[n]);
        if constexpr (!zero_point) _mm512_store_ps(ends[scales + n], _mm512_min_ps(one, other));
      });
      scales += Format::scales;
    }
    const __m512 largest = _mm512_castsi512_ps(most);
    constexpr float quantum = largest_quantum(Format::bits);
    _mm512_store_ps(chunk.row_scales, _mm512_mul_ps(largest, _mm512_set1_ps(1 / quantum)));
    // Rows of zeros stay zero; so do those that are not finite, whose scale is not either.
    const __mmask16 usable = _mm512_cmp_ps_mask(largest, _mm512_set1_ps(1e-30f), _CMP_GT_OQ);
    const __m512 inverse = _mm512_maskz_div_ps(usable, _mm512_set1_ps(quantum), largest);
    for (int64_t i = 0; i < scales; ++i)
      put_scale(_mm512_load_ps(s[i]), ends[i], inverse, i, chunk);
  }

  static void put(const OpenedChunk& chunk, int64_t step, uint8_t* tile) noexcept {
    for (int64_t i = 2 * step; i < 2 * step + 2; ++i, tile += tile_bytes / 2)
      nibbles ? put_nibbles(chunk, i, tile) : put_codes(chunk, i, tile);
  }

 private:
  static constexpr int unused_bits = 8 - Format::bits, code_bits = (0xff << unused_bits) & 0xff;
  // Of ternarylogic: (a ^ b) & c, (a & b) | c.
  static constexpr int xor_and = 0x28, and_or = 0xea;

  [[gnu::always_inline]] static __m512i magnitude(__m512 v) {
    return _mm512_castps_si512(_mm512_abs_ps(v));
  }

  /// end: unused with a zero point.
  [[gnu::always_inline]] static void put_scale(__m512 s, const float* end, __m512 inverse,
                                               int64_t i, OpenedChunk& chunk) {
    const __m512 unit = _mm512_mul_ps(inverse, _mm512_set1_ps(1 << (8 + Format::bits)));
    const __m512i factor = repeat_half(_mm512_cvtps_epi32(_mm512_abs_ps(_mm512_mul_ps(s, unit))));
    const __m512i flip = _mm512_srai_epi32(_mm512_castps_si512(s), 31);
    __m512i byte;
    if constexpr (zero_point) {
      const __m512i zero = _mm512_ternarylogic_epi32(_mm512_set1_epi16(Format::zero << unused_bits),
                                                     flip, _mm512_set1_epi16(code_bits), xor_and);
      byte = _mm512_sub_epi32(_mm512_setzero_si512(), _mm512_mulhi_epu16(zero, factor));
    } else {
      constexpr float taken = 0.5f - 0.5f / (1 << Format::bits);  // nothing from code 0
      byte =
          _mm512_cvtps_epi32(_mm512_fmadd_ps(_mm512_load_ps(end), inverse, _mm512_set1_ps(taken)));
    }
    _mm512_store_si512(chunk.factor[i], factor);
    _mm512_store_si512(chunk.end[i], repeat_byte(byte));
    _mm512_store_si512(chunk.flip[i], flip);
  }

  /// What a scale makes of the codes that it serves.
  struct Scale {
    __m512i factor, end, flip, odd_bits, even_bits, odd_bytes;

    [[gnu::always_inline]] Scale(const OpenedChunk& chunk, int64_t i)
        : factor(_mm512_load_si512(chunk.factor[i])),
          end(_mm512_load_si512(chunk.end[i])),
          flip(_mm512_load_si512(chunk.flip[i])),
          odd_bits(_mm512_set1_epi16(static_cast<short>(code_bits << 8))),
          even_bits(_mm512_set1_epi16(code_bits)),
          odd_bytes(_mm512_set1_epi16(static_cast<short>(0xff00))) {}

    /// codes: in the upper bits of each byte.
    [[gnu::always_inline]] __m512i of(__m512i codes) const {
      const __m512i odd =
          _mm512_mulhi_epu16(_mm512_ternarylogic_epi32(codes, flip, odd_bits, xor_and), factor);
      const __m512i even =
          _mm512_mulhi_epu16(_mm512_ternarylogic_epi32(codes, flip, even_bits, xor_and), factor);
      return _mm512_add_epi8(_mm512_ternarylogic_epi32(odd, odd_bytes, even, and_or), end);
    }
  };

  static constexpr int64_t scale_of(int64_t block) {
    return block * Format::scales / Format::blocks;
  }

  [[gnu::always_inline]] static void put_nibbles(const OpenedChunk& chunk, int64_t block,
                                                 uint8_t* out) {
    const Scale scale(chunk, scale_of(block));
    const uint8_t* codes = chunk.codes[block] + block % Format::blocks * 256;
    unroll<0, 4>([&](auto i) __attribute__((always_inline)) {
      const __m512i high = _mm512_loadu_si512(codes + i * 64), low = _mm512_slli_epi16(high, 4);
      _mm512_store_si512(out + i * 128, scale.of(low));
      _mm512_store_si512(out + i * 128 + 64, scale.of(high));
    });
  }

  [[gnu::always_inline]] static void put_codes(const OpenedChunk& chunk, int64_t block,
                                               uint8_t* out) {
    const Scale first(chunk, scale_of(block)), second(chunk, scale_of(block) + (halves ? 1 : 0));
    unroll<0, 8>([&](auto k) __attribute__((always_inline)) {
      const __m512i codes =
          Format::template codes<k>(chunk.codes[block], block % Format::blocks, 0);
      const __m512i upper = _mm512_slli_epi16(codes, unused_bits);
      _mm512_store_si512(out + k * 64, (k < 4 ? first : second).of(upper));
    });
  }
};

/// Rows of int8 with one scale: as they are, but signed.
template <class S>
struct Requantize<Int8Row<S>> {
  static void open(const ChunkArgs& a, OpenedChunk& chunk) noexcept {
    chunk.codes[0] = Int8Row<S>::open(a.group, a.col / 32, 0).codes;
    _mm512_store_ps(chunk.row_scales, Int8Row<S>::scale_of_row(a.group, 0));
  }
  static void put(const OpenedChunk& chunk, int64_t step, uint8_t* tile) noexcept {
    const uint8_t* codes = chunk.codes[0] + step * tile_bytes;
    for (int i = 0; i < tile_bytes; i += 64)
      _mm512_store_si512(tile + i, _mm512_xor_si512(_mm512_loadu_si512(codes + i),
                                                    _mm512_set1_epi8(static_cast<char>(0x80))));
  }
};

template <class Format>
constexpr Requantizer requantizer = {Requantize<Format>::open, Requantize<Format>::put};

}  // namespace
}  // namespace ktx::ops
