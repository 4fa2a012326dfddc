// How the tensor memory accelerator of GPUs from sm_90 on sees bf16 numbers in memory, for kernels
// that have it copy whole tiles.
#pragma once

#include <cuda.h>

#include <cstdint>

namespace ktx::device {

/// Rows of numbers of several heads, both strides in numbers, multiples of 8.
struct TiledNumbers {
  const uint16_t* data = nullptr;  // 16-byte aligned
  int64_t rows = 0, row_stride = 0;
  int64_t heads = 1, head_stride = 0;  // 0: that of rows
  int64_t columns = 0;                 // of a head's row
};

/// Its tiles of `tile_rows` rows, at most 256, and 64 columns of a head as ops/cuda/wgmma.cuh has
/// operands: copied from {column, head, row}. What lies beyond the ends is zero.
CUtensorMap tensor_map(const TiledNumbers& numbers, int tile_rows) noexcept;

}  // namespace ktx::device
