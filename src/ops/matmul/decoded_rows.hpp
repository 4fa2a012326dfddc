// Products with a matrix in Layout::rows: pieces of rows are decoded to f32 by the format table.
#pragma once

#include "ops/matmul/matmul.hpp"
#include "ops/matmul/x16_args.hpp"

namespace ktx::ops {

/// Columns decoded at a time: a multiple of every format's block; 4 rows of them fit in the L1
/// cache.
constexpr int64_t piece_columns = 1024;

/// Decodes columns [begin, begin + n) of a row of `format`; begin is a multiple of piece_columns,
/// n <= piece_columns.
void decode_piece(quant::Format format, const std::byte* row, int64_t begin, int64_t n,
                  float* out) noexcept;

/// The whole product with the given inner loop; works for every format.
void multiply_decoded(const MatmulArgs& args, void (*dot)(const DotArgs& args) noexcept) noexcept;

/// The inner loop in plain float32.
void dot_ref(const DotArgs& args) noexcept;

}  // namespace ktx::ops
