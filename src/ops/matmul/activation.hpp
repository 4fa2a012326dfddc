// Activations as the kernels read them: f32 rows, or q8: int8 in blocks of 32 columns.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ops/matmul/matmul.hpp"
#include "ops/matmul/x16_args.hpp"

namespace ktx::ops {

/// Columns of a q8 block.
constexpr int64_t q8_block = 32;

/// A q8 row of cols numbers (a multiple of 32) is four arrays, each starting at a multiple of 64
/// bytes:
///   int8  q[cols]              x is about scales[b] * q[i]; |q| <= 127
///   float scales[cols / 32]    largest |x| of the block / 127; NaN when the block holds a NaN
///   float sums[cols / 32]      scales[b] * sum of the block's q
///   float half_sums[cols / 16] the same of each half block, for formats with a scale every 16
/// A weight s * code - m then costs s * scale * (codes . q) - m * sum, with unsigned codes.
struct Q8Offsets {
  int64_t scales, sums, half_sums, size;  // bytes
};
Q8Offsets q8_offsets(int64_t cols) noexcept;

/// The arguments that quantize columns [block_begin, block_end) * 32 of a row of `cols`; x points
/// to the first of them.
QuantizeArgs q8_quantize_args(const float* x, int64_t cols, int64_t block_begin, int64_t block_end,
                              std::byte* row) noexcept;

/// The scalar definition; vector versions give the same bits.
void quantize_q8(const QuantizeArgs& args) noexcept;

}  // namespace ktx::ops
