// Packing of floats into panels (attention_tiles.hpp).
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

/// A square of a matrix, what is missing of it zero.
struct SquareSource {
  [[gnu::always_inline]] SquareSource(const float* first, int64_t row_stride, int64_t row_count,
                                      int64_t col_count, float factor)
      : x(first),
        stride(row_stride),
        rows(row_count),
        lanes{first_lanes(col_count), first_lanes(col_count - 16)},
        scale(_mm512_set1_ps(factor)) {}
  /// Half a row.
  [[gnu::always_inline]] __m512 load(int64_t row, int half) const {
    const auto there = static_cast<__mmask16>(row < rows ? lanes[half] : 0);
    return _mm512_mul_ps(scale, _mm512_maskz_loadu_ps(there, x + row * stride + half * 16));
  }

  const float* x;
  int64_t stride, rows;
  __mmask16 lanes[2];
  __m512 scale;
};

template <class Isa, Direction K, Side S>
[[gnu::always_inline]] inline void pack_square(const SquareSource& source, uint8_t* square) {
  for (int half = 0; half < 2; ++half) {
    __m512i v[16];
    for (int i = 0; i < 16; ++i) {
      if constexpr (K == Direction::along_rows)
        v[i] = Isa::in_order(source.load(half * 16 + i, 0), source.load(half * 16 + i, 1));
      else
        v[i] = Isa::in_pairs(source.load(2 * i, half), source.load(2 * i + 1, half));
    }
    // Rows that k run along are rows of a left tile; pairs of rows that they don't, of a right one.
    if constexpr ((K == Direction::along_rows) == (S == Side::right)) transpose_16x16(v);
    for (int i = 0; i < 16; ++i) _mm512_storeu_si512(square + half * 1024 + i * 64, v[i]);
  }
}

template <class Isa, Direction K, Side S>
void pack_squares(const PanelPackArgs& a) noexcept {
  constexpr bool along = K == Direction::along_rows;
  for (int64_t row = 0; row < a.rows; row += square_side)
    for (int64_t col = 0; col < a.cols; col += square_side) {
      const int64_t panel = (along ? row : col) / square_side;
      const int64_t step = (along ? col : row) / square_side;
      pack_square<Isa, K, S>(
          {a.x + row * a.stride + col, a.stride, a.rows - row, a.cols - col, a.scale},
          a.panels + panel * a.panel_bytes + step * square_bytes);
    }
}

template <class Isa>
void pack_panels(const PanelPackArgs& a) noexcept {
  if (a.k == Direction::along_rows)
    a.side == Side::left ? pack_squares<Isa, Direction::along_rows, Side::left>(a)
                         : pack_squares<Isa, Direction::along_rows, Side::right>(a);
  else
    a.side == Side::left ? pack_squares<Isa, Direction::across_rows, Side::left>(a)
                         : pack_squares<Isa, Direction::across_rows, Side::right>(a);
}

}  // namespace
}  // namespace ktx::ops
