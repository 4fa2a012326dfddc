// A packed matrix back to numbers: for who needs them otherwise than multiplied by activations.
#pragma once

#include "ops/matmul/matmul.hpp"

namespace ktx::ops {

/// Rows [row_begin, row_end) of a matrix; a worker's node holds all of them or none.
struct UnpackArgs {
  const PackedMatrix* matrix = nullptr;
  int64_t row_begin = 0, row_end = 0;
  int node = 0;          // of the worker
  float* out = nullptr;  // [row_end - row_begin, cols]
};

/// The values of the format's codec, in any layout (fp8 in Layout::x16: a NaN makes its block NaN,
/// as for the kernels).
void unpack_rows(const UnpackArgs& args) noexcept;

}  // namespace ktx::ops
