// Products with a matrix in Layout::rows: pieces of rows are decoded to f32 by the format table.
#pragma once

#include "ops/matmul/matmul.hpp"

namespace ktx::ops {

/// Columns decoded at a time: a multiple of every format's block; 4 rows of them fit in the L1
/// cache.
constexpr int64_t piece_columns = 1024;

/// Decodes columns [begin, begin + n) of a row of `format`; begin is a multiple of piece_columns,
/// n <= piece_columns.
void decode_piece(quant::Format format, const std::byte* row, int64_t begin, int64_t n,
                  float* out) noexcept;

/// The whole product in plain float32; works for every format.
void multiply_decoded(const MatmulArgs& args) noexcept;

/// y[t, r] += x[t] . w[r] over columns that have been decoded to f32.
struct DotArgs {
  const float* w = nullptr;  // [rows, w_stride]
  int64_t w_stride = 0;
  int64_t rows = 0;
  int64_t cols = 0;
  const uint8_t* x = nullptr;  // row t at x + x_row_bytes * (x_rows ? x_rows[t] : t)
  int64_t x_row_bytes = 0;
  const int32_t* x_rows = nullptr;
  int64_t tokens = 0;
  float* y = nullptr;  // y[t * y_stride + r]
  int64_t y_stride = 0;
};

void dot_ref(const DotArgs& args) noexcept;

}  // namespace ktx::ops
