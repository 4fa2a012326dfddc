// Tensor maps: descriptions of bf16 arrays with which the tensor memory accelerator (TMA) of sm_90
// and later copies whole tiles.
#pragma once

#include <cuda.h>

#include <cstdint>

namespace ktx::device {

/// Rows of numbers of several heads. Both strides are in numbers and multiples of 8.
struct TiledNumbers {
  const uint16_t* data = nullptr;  // 16-byte aligned
  int64_t rows = 0, row_stride = 0;
  int64_t heads = 1, head_stride = 0;  // 0: the same as row_stride
  int64_t columns = 0;                 // of a head's row
};

/// Describes its tiles of `tile_rows` rows (at most 256) and 64 columns of a head, in the operand
/// layout of ops/cuda/wgmma.cuh, addressed by {column, head, row}. Out-of-range elements are zero.
CUtensorMap tensor_map(const TiledNumbers& numbers, int tile_rows) noexcept;

}  // namespace ktx::device
