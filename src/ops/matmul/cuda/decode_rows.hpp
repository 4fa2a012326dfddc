// Rows of a packed matrix as bf16, for every format of Layout::x16.
#pragma once

#include <cstdint>

#include "core/device/queue.hpp"
#include "ops/matmul/x16_args.hpp"

namespace ktx::ops::cuda {

struct DecodeRowsArgs {
  X16 format = X16::f32;
  const uint8_t* groups = nullptr;  // of 16 rows, 64-byte aligned
  int64_t group_bytes = 0;
  int64_t group_count = 0;  // at most 65,535
  int64_t cols = 0;         // a multiple of 32
  uint16_t* out = nullptr;  // bf16 [16 * group_count, cols]; rows beyond the matrix become zero
};
void decode_rows(const DecodeRowsArgs& args, const device::Queue& queue) noexcept;

}  // namespace ktx::ops::cuda
