// Packing into panels (attention_tiles.hpp).
//
// Isa has: Tiles; and of bf16, rounded to the nearest: in_order(a, b), the 16 numbers of a and then
// those of b, and in_pairs(a, b), word i = a[i] | b[i] << 16.
#pragma once

#include "ops/attention/attention_tiles.hpp"
#include "ops/matmul/simd/x86_transpose.hpp"

namespace ktx::ops {
namespace {

/// The lanes of `count` numbers, none if it is negative.
[[gnu::always_inline]] inline __mmask16 first_lanes(int64_t count) {
  return static_cast<__mmask16>(count >= 16 ? 0xffff : count <= 0 ? 0 : (1u << count) - 1);
}

/// A square of a matrix of floats, what is missing of it zero.
template <class Isa>
struct FloatSquare {
  [[gnu::always_inline]] FloatSquare(const float* first, int64_t row_stride, int64_t row_count,
                                     int64_t col_count, float factor)
      : x(first),
        stride(row_stride),
        rows(row_count),
        lanes{first_lanes(col_count), first_lanes(col_count - 16)},
        scale(_mm512_set1_ps(factor)) {}
  [[gnu::always_inline]] FloatSquare(const PanelPackArgs& a, int64_t row, int64_t col)
      : FloatSquare(a.x + row * a.stride + col, a.stride, a.rows - row, a.cols - col, a.scale) {}
  /// A row.
  [[gnu::always_inline]] __m512i in_order(int64_t row) const {
    return Isa::in_order(load(row, 0), load(row, 1));
  }
  /// Half of two rows.
  [[gnu::always_inline]] __m512i in_pairs(int64_t row, int half) const {
    return Isa::in_pairs(load(row, half), load(row + 1, half));
  }
  [[gnu::always_inline]] __m512 load(int64_t row, int half) const {
    const auto there = static_cast<__mmask16>(row < rows ? lanes[half] : 0);
    return _mm512_mul_ps(scale, _mm512_maskz_loadu_ps(there, x + row * stride + half * 16));
  }

  const float* x;
  int64_t stride, rows;
  __mmask16 lanes[2];
  __m512 scale;
};

/// A row of 32 numbers that are bf16 already, what is missing of it zero.
[[gnu::always_inline]] inline __m512i load_bf16(const PanelPackArgs& a, int64_t row, int64_t col) {
  const auto lanes = first_lanes(a.cols - col) | __mmask32{first_lanes(a.cols - col - 16)} << 16;
  return _mm512_maskz_loadu_epi16(row < a.rows ? lanes : 0, a.bf16 + (row * a.stride + col) * 2);
}

/// A square of such rows.
struct Bf16Square {
  [[gnu::always_inline]] __m512i in_order(int64_t i) const { return load_bf16(a, row + i, col); }

  const PanelPackArgs& a;
  int64_t row, col;
};

template <Direction K, Side S, class Source>
[[gnu::always_inline]] inline void pack_square(const Source& source, uint8_t* square) {
  for (int half = 0; half < 2; ++half) {
    __m512i v[16];
    for (int i = 0; i < 16; ++i) {
      if constexpr (K == Direction::along_rows)
        v[i] = source.in_order(half * 16 + i);
      else
        v[i] = source.in_pairs(2 * i, half);
    }
    // Rows that k run along are rows of a left tile; pairs of rows that they don't, of a right one.
    if constexpr ((K == Direction::along_rows) == (S == Side::right)) transpose_16x16(v);
    for (int i = 0; i < 16; ++i) _mm512_storeu_si512(square + half * 1024 + i * 64, v[i]);
  }
}

template <class Source, Direction K, Side S>
void pack_squares(const PanelPackArgs& a) noexcept {
  constexpr bool along = K == Direction::along_rows;
  for (int64_t row = 0; row < a.rows; row += square_side)
    for (int64_t col = 0; col < a.cols; col += square_side) {
      const int64_t panel = (along ? row : col) / square_side;
      const int64_t step = (along ? col : row) / square_side;
      pack_square<K, S>(Source{a, row, col},
                        a.panels + panel * a.panel_bytes + step * square_bytes);
    }
}

/// Rows of bf16, k across them: right panels, read from the first row to the last.
inline void pack_pairs(const PanelPackArgs& a) noexcept {
  const __m512i first = _mm512_setr_epi32(
      0x200000, 0x210001, 0x220002, 0x230003, 0x240004, 0x250005, 0x260006, 0x270007, 0x280008,
      0x290009, 0x2a000a, 0x2b000b, 0x2c000c, 0x2d000d, 0x2e000e, 0x2f000f);
  const __m512i second = _mm512_add_epi16(first, _mm512_set1_epi16(16));
  for (int64_t row = 0; row < squares_of(a.rows) * square_side; row += 2) {
    uint8_t* out = a.panels + row / square_side * square_bytes + row % square_side * 32;
    for (int64_t col = 0; col < a.cols; col += square_side, out += a.panel_bytes) {
      const __m512i x = load_bf16(a, row, col), y = load_bf16(a, row + 1, col);
      _mm512_storeu_si512(out, _mm512_permutex2var_epi16(x, first, y));
      _mm512_storeu_si512(out + 1024, _mm512_permutex2var_epi16(x, second, y));
    }
  }
}

template <class Isa>
void pack_panels(const PanelPackArgs& a) noexcept {
  using Floats = FloatSquare<Isa>;
  constexpr auto along = Direction::along_rows, across = Direction::across_rows;
  if (a.bf16 != nullptr)
    a.k == across          ? pack_pairs(a)
    : a.side == Side::left ? pack_squares<Bf16Square, along, Side::left>(a)
                           : pack_squares<Bf16Square, along, Side::right>(a);
  else if (a.k == along)
    a.side == Side::left ? pack_squares<Floats, along, Side::left>(a)
                         : pack_squares<Floats, along, Side::right>(a);
  else
    a.side == Side::left ? pack_squares<Floats, across, Side::left>(a)
                         : pack_squares<Floats, across, Side::right>(a);
}

template <class Isa>
void round_floats(const RoundArgs& a) noexcept {
  for (int64_t i = 0; i < a.count; i += square_side) {
    const FloatSquare<Isa> row(a.x + i, 0, 1, a.count - i, a.scale);
    _mm512_storeu_si512(a.out + i * 2, row.in_order(0));
  }
}

}  // namespace
}  // namespace ktx::ops
