// Reading the rows of floats that are packed for kernels of many tokens.
#pragma once

#include <immintrin.h>

#include "ops/matmul/tiles/tiles.hpp"

namespace ktx::ops {
namespace {

/// Row t, gathered or not.
[[gnu::always_inline]] inline const float* row_of(const TilePackArgs& a, int64_t t) {
  return a.x + a.x_stride * (a.rows ? a.rows[t] : t);
}

/// 16 columns from `col` of the row; zeros past `cols`.
[[gnu::always_inline]] inline __m512 load_columns(const float* row, int64_t col, int64_t cols) {
  const int64_t left = cols - col;
  if (left <= 0) return _mm512_setzero_ps();
  return _mm512_maskz_loadu_ps(static_cast<__mmask16>(left >= 16 ? 0xffff : (1u << left) - 1),
                               row + col);
}

}  // namespace
}  // namespace ktx::ops
