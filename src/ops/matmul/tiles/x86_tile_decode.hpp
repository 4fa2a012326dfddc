// Decoding of Layout::x16 to bf16 tiles: the left operand, row after row of 32 columns in the order
// of tile_pair.
//
// The layout interleaves 16 rows for kernels whose lanes are rows. Here they are turned back,
// because then the 16 values that a 4-bit code of a row can have are one vector, and decoding 32
// codes is one look-up in it: 5 instructions for 32 weights, where arithmetic takes 12.
#pragma once

#include "core/quant/fp8.hpp"
#include "ops/matmul/integer/x86_integer_formats.hpp"
#include "ops/matmul/simd/x86_simd_avx512.hpp"
#include "ops/matmul/simd/x86_transpose.hpp"
#include "ops/matmul/tiles/tiles.hpp"

namespace ktx::ops {
namespace {

// A decoder opens 256 columns at a time: open() makes Opened, what their tiles have in common, and
// put() decodes one tile. Units of all formats divide 256 columns.
constexpr int64_t decoder_steps = 256 / bf16_step;

/// `steps` tiles of a group of 16 rows, from column 32 * step on: 256 columns, or what is left.
struct OpenArgs {
  const uint8_t* group;
  int64_t step, steps;
};

// Weights become bf16 by dropping the lower half of their f32, which costs nothing where a look-up
// takes the upper half. That makes m 2^e, 1 <= m < 2, smaller by 2^-8 2^e on average, so scales are
// made larger by the mean of 2^-8 / m over the usual density of leading digits, 1 / (m ln 2), which
// is 2^-9 / ln 2. A weight then strays by up to 1.3 * 2^-8 of itself, and what bf16 holds exactly
// stays exact.
constexpr float truncation_offset = 1 + 0.72134752f / 256;

/// Pairs of bf16, the upper halves of f32, `even` in the lower half.
[[gnu::always_inline]] inline __m512i bf16_pairs(__m512 even, __m512 odd) {
  const __m512i low = _mm512_srli_epi32(_mm512_castps_si512(even), 16);
  // (odd & mask) | low
  return _mm512_ternarylogic_epi32(_mm512_castps_si512(odd),
                                   _mm512_set1_epi32(static_cast<int>(0xffff0000u)), low, 0xea);
}

/// Keeps what was stored in memory there: left alone, the compiler takes rows out of the vectors it
/// still holds, which costs two shuffles where a broadcasting load is free of them.
template <class T>
[[gnu::always_inline]] inline void reload(T& stored) {
  asm volatile("" : "+m"(stored));
}

// ---- 4-bit codes: weight = s * level[code] - m ----

/// The 16-bit lanes that look a code up in the upper halves of 16 words: bit 0 set, code above.
struct NibbleIndex {
  __m512i shift, odd;
  [[gnu::always_inline]] NibbleIndex() {
    // Pairs of neighbouring columns are bytes j, j + 1 of a word; they become 16-bit lanes v, v +
    // 1, each code one bit up. 128-bit lane l of the vector takes nibbles l % 2, of bytes 0, 1 if l
    // < 2.
    alignas(64) uint8_t bits[64] = {};
    for (int lane = 0; lane < 4; ++lane)
      for (int v = 0; v < 8; ++v) {
        const int byte = v / 2 % 2 * 4 + lane / 2 * 2 + v % 2;
        bits[lane * 16 + v * 2] = static_cast<uint8_t>((byte * 8 + lane % 2 * 4 - 1) & 63);
      }
    shift = _mm512_load_si512(bits);
    odd = _mm512_set1_epi16(1);
  }
  [[gnu::always_inline]] __m512i of(const uint8_t* row) const {
    const __m512i codes =
        _mm512_broadcast_i32x4(_mm_load_si128(reinterpret_cast<const __m128i*>(row)));
    return _mm512_or_si512(_mm512_multishift_epi64_epi8(shift, codes), odd);
  }
};

/// 32 columns: `codes` are 4 vectors of nibbles; s and m of the 16 rows.
[[gnu::always_inline]] inline void put_nibbles(const NibbleIndex& index, __m512 levels,
                                               const uint8_t* codes, const float* s, const float* m,
                                               uint8_t* tile) {
  __m512i v[4], turned[4];
  for (int i = 0; i < 4; ++i) v[i] = _mm512_loadu_si512(codes + i * 64);
  transpose_lanes(v, turned);
  alignas(64) uint8_t rows[4][64];  // row 4 l + j at rows[j] + 16 l
  for (int j = 0; j < 4; ++j) _mm512_store_si512(rows[j], turned[j]);
  reload(rows);
  for (int r = 0; r < 16; ++r) {
    const __m512 values = _mm512_fmsub_ps(levels, _mm512_set1_ps(s[r]), _mm512_set1_ps(m[r]));
    const __m512i looked_up =
        _mm512_permutexvar_epi16(index.of(rows[r % 4] + r / 4 * 16), _mm512_castps_si512(values));
    _mm512_store_si512(tile + r * 64, looked_up);
  }
}

// ---- codes of one byte ----

/// Rows of one-byte codes of 32 columns: even[j] + 16 l holds those of the even columns of row 4 l
/// + j, in the order of tile_pair; odd likewise.
struct ByteRows {
  alignas(64) uint8_t even[4][64], odd[4][64];

  /// v[k]: byte j of word r is column 4 k + j of row r.
  [[gnu::always_inline]] explicit ByteRows(const __m512i v[8]) {
    // Pairs of 16-bit lanes: the even columns of pairs i and i + 1 of a half, in the order of
    // tile_pair, then the odd ones.
    const __m512i order =
        _mm512_broadcast_i32x4(_mm_setr_epi8(0, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15));
    __m512i first[4], second[4];
    transpose_lanes(v, first);
    transpose_lanes(v + 4, second);
    for (int j = 0; j < 4; ++j) {
      const __m512i a = _mm512_shuffle_epi8(first[j], order);
      const __m512i b = _mm512_shuffle_epi8(second[j], order);
      _mm512_store_si512(even[j], _mm512_unpacklo_epi16(a, b));
      _mm512_store_si512(odd[j], _mm512_unpackhi_epi16(a, b));
    }
    reload(even);
    reload(odd);
  }
  [[gnu::always_inline]] const uint8_t* even_row(int r) const { return even[r % 4] + r / 4 * 16; }
  [[gnu::always_inline]] const uint8_t* odd_row(int r) const { return odd[r % 4] + r / 4 * 16; }
};

[[gnu::always_inline]] inline __m512 floats_of(const uint8_t* codes) {
  return _mm512_cvtepi32_ps(
      _mm512_cvtepu8_epi32(_mm_load_si128(reinterpret_cast<const __m128i*>(codes))));
}

/// The row's number, or its numbers for the first and second half of 32 columns where they meet
/// the even or the odd columns of the row.
template <int Sets>
[[gnu::always_inline]] inline __m512 row_value(const float (*values)[16], int r) {
  if constexpr (Sets == 1) return _mm512_set1_ps(values[0][r]);
  return _mm512_mask_blend_ps(0xcccc, _mm512_set1_ps(values[0][r]), _mm512_set1_ps(values[1][r]));
}

// ---- integer formats ----

template <class Format>
struct IntegerTiles {
  // Of scales and minimums, where the halves of a step have their own.
  static constexpr int sets = Format::scales > Format::blocks ? 2 : 1;

  struct Opened {
    const uint8_t* unit[decoder_steps];  // its codes; those of the step are block step % blocks
    alignas(64) float s[decoder_steps][sets][16], m[decoder_steps][sets][16];
  };

  static void open(const OpenArgs& a, Opened& opened) noexcept {
    for (int64_t i = 0; i < a.steps; i += Format::blocks) {
      const auto unit = Format::open(a.group, (a.step + i) / Format::blocks, 0);
      __m512 offset = _mm512_set1_ps(truncation_offset);
      if constexpr (Format::row_scale)
        offset = _mm512_mul_ps(offset, Format::scale_of_row(a.group, 0));
      unroll<0, Format::blocks * sets>([&](auto n) __attribute__((always_inline)) {
        constexpr int own = Format::scales == 1 ? 0 : n;
        opened.unit[i + n / sets] = unit.codes;
        _mm512_store_ps(opened.s[i + n / sets][n % sets], _mm512_mul_ps(unit.s[own], offset));
        _mm512_store_ps(opened.m[i + n / sets][n % sets], _mm512_mul_ps(unit.m[own], offset));
      });
    }
  }

  static void put(const Opened& opened, int64_t i, uint8_t* tile) noexcept {
    if constexpr (Format::is_4bit)
      put_nibbles({}, levels_of_codes(), opened.unit[i] + i % Format::blocks * 256, opened.s[i][0],
                  opened.m[i][0], tile);
    else
      put_bytes(opened, i, tile);
  }

 private:
  [[gnu::always_inline]] static __m512 levels_of_codes() {
    if constexpr (Format::bits == 4)
      return _mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    else
      return floats_of(Format::levels);
  }

  [[gnu::always_inline]] static void put_bytes(const Opened& opened, int64_t i, uint8_t* tile) {
    __m512i v[8];
    unroll<0, 8>([&](auto k) __attribute__((always_inline)) {
      v[k] = Format::template codes<k>(opened.unit[i], i % Format::blocks, 0);
    });
    const ByteRows rows(v);
    for (int r = 0; r < 16; ++r) {
      const __m512 s = row_value<sets>(opened.s[i], r), m = row_value<sets>(opened.m[i], r);
      const __m512 even = _mm512_fmsub_ps(floats_of(rows.even_row(r)), s, m);
      const __m512 odd = _mm512_fmsub_ps(floats_of(rows.odd_row(r)), s, m);
      _mm512_store_si512(tile + r * 64, bf16_pairs(even, odd));
    }
  }
};

// ---- floats ----

/// 32 columns of 16 rows, given as pairs of bf16: pair(c) holds columns 2 c, 2 c + 1 of all rows.
template <class Pair>
[[gnu::always_inline]] inline void put_pairs(const Pair& pair, uint8_t* tile) {
  __m512i v[16];
  for (int d = 0; d < 16; ++d) v[d] = pair(tile_pair(d));
  transpose_16x16(v);
  for (int r = 0; r < 16; ++r) _mm512_store_si512(tile + r * 64, v[r]);
}

/// For the formats of floats: where the columns begin.
struct OpenedFloats {
  const uint8_t* group;
  int64_t step;
};

template <class Pairs>
struct FloatTiles {
  using Opened = OpenedFloats;
  static void open(const OpenArgs& a, Opened& opened) noexcept { opened = {a.group, a.step}; }
  static void put(const Opened& opened, int64_t i, uint8_t* tile) noexcept {
    Pairs::put(opened.group, opened.step + i, tile);
  }
};

struct F16 {
  static void put(const uint8_t* group, int64_t step, uint8_t* tile) noexcept {
    const uint8_t* from = group + step * 1024;
    const __m512 offset = _mm512_set1_ps(truncation_offset);
    put_pairs(
        [&](int c) __attribute__((always_inline)) {
          return bf16_pairs(_mm512_mul_ps(Avx512::load_f16(from + c * 64), offset),
                            _mm512_mul_ps(Avx512::load_f16(from + c * 64 + 32), offset));
        },
        tile);
  }
};

struct Bf16 {
  static void put(const uint8_t* group, int64_t step, uint8_t* tile) noexcept {
    const uint8_t* from = group + step * 1024;
    put_pairs(
        [&](int c) __attribute__((always_inline)) { return _mm512_loadu_si512(from + c * 64); },
        tile);
  }
};

/// The bytes of an e4m3 code's bf16, by the lower 7 bits of the code.
struct E4m3Bytes {
  alignas(64) uint8_t high[128], low[128];
};
constexpr E4m3Bytes e4m3_bytes = [] {
  E4m3Bytes bytes{};
  for (unsigned code = 0; code < 128; ++code) {
    const auto bits = __builtin_bit_cast(uint32_t, quant::e4m3_value(code));
    bytes.high[code] = static_cast<uint8_t>(bits >> 24);
    bytes.low[code] = static_cast<uint8_t>(bits >> 16);
  }
  return bytes;
}();

/// Codes are turned to rows as bytes, and become bf16 by looking up both of its bytes: shuffles,
/// which have one port, go furthest on bytes.
struct Fp8 {
  static void put(const uint8_t* group, int64_t step, uint8_t* tile) noexcept {
    const uint8_t* unit = group + step / 4 * (64 + 2048);  // 128 columns
    const uint8_t* codes = unit + 64 + step % 4 * 512;     // 8 vectors of 4 columns of 16 rows
    const __m512i order = pairs_of_rows();
    for (int half = 0; half < 2; ++half) {
      const __m512i rows_order =
          _mm512_add_epi8(order, _mm512_set1_epi8(static_cast<char>(half * 8)));
      __m512i w[4];  // w[q], word r of 128-bit lane l: the pair of columns in word 4 l + q of row r
      unroll<0, 4>([&](auto q) __attribute__((always_inline)) {
        const __m512i even = _mm512_loadu_si512(codes + q * 128);
        const __m512i odd = _mm512_loadu_si512(codes + q * 128 + 64);
        w[q] = _mm512_mask_permutexvar_epi8(_mm512_permutexvar_epi8(rows_order, even),
                                            0xffff0000ffff0000, rows_order, odd);
      });
      const __m512i a = _mm512_unpacklo_epi16(w[0], w[1]), b = _mm512_unpackhi_epi16(w[0], w[1]);
      const __m512i c = _mm512_unpacklo_epi16(w[2], w[3]), d = _mm512_unpackhi_epi16(w[2], w[3]);
      const Rows rows{unit + half * 32, tile + half * 512};
      rows.put(0, _mm512_unpacklo_epi32(a, c));
      rows.put(2, _mm512_unpackhi_epi32(a, c));
      rows.put(4, _mm512_unpacklo_epi32(b, d));
      rows.put(6, _mm512_unpackhi_epi32(b, d));
    }
  }

 private:
  /// Of 4 columns of 16 rows: columns 0, 1 of the first 8 rows, for 128-bit lanes 0 and 1, and
  /// columns 2, 3, for lanes 2 and 3.
  [[gnu::always_inline]] static __m512i pairs_of_rows() {
    alignas(64) uint8_t from[64] = {};
    for (int i = 0; i < 64; ++i)
      from[i] = static_cast<uint8_t>((i / 32 * 2 + i % 2) * 16 + i % 16 / 2);
    return _mm512_load_si512(from);
  }

  struct Rows {
    const uint8_t* scales;
    uint8_t* tile;

    /// Rows r and r + 1, 8 codes of each in every 128-bit lane.
    [[gnu::always_inline]] void put(int r, __m512i codes) const {
      const auto look_up = [&](const uint8_t* bytes) __attribute__((always_inline)) {
        return _mm512_permutex2var_epi8(_mm512_load_si512(bytes), codes,
                                        _mm512_load_si512(bytes + 64));
      };
      // high | (codes & 0x80)
      const __m512i high = _mm512_ternarylogic_epi32(
          look_up(e4m3_bytes.high), codes, _mm512_set1_epi8(static_cast<char>(0x80)), 0xf8);
      const __m512i low = look_up(e4m3_bytes.low);
      put_row(r, _mm512_unpacklo_epi8(low, high));
      put_row(r + 1, _mm512_unpackhi_epi8(low, high));
    }
    /// values: bf16.
    [[gnu::always_inline]] void put_row(int r, __m512i values) const {
      float s;
      __builtin_memcpy(&s, scales + r * 4, sizeof(s));
      const __m512 scale = _mm512_set1_ps(s * truncation_offset);
      const __m512i upper = _mm512_set1_epi32(static_cast<int>(0xffff0000u));
      const __m512 even = _mm512_castsi512_ps(_mm512_slli_epi32(values, 16));
      const __m512 odd = _mm512_castsi512_ps(_mm512_and_si512(values, upper));
      _mm512_store_si512(tile + r * 64,
                         bf16_pairs(_mm512_mul_ps(even, scale), _mm512_mul_ps(odd, scale)));
    }
  };
};

}  // namespace
}  // namespace ktx::ops
