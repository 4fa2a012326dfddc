// Rows of floats times a packed matrix, on one thread.
#pragma once

#include "ops/matmul/matmul.hpp"

namespace ktx::ops {

/// y[t, :] = W x[t, :].
struct ProjectArgs {
  const PackedMatrix* matrix = nullptr;  // [rows, cols]; each node that holds rows holds all
  const float* x = nullptr;              // [tokens, cols]
  int64_t x_stride = 0;                  // floats
  int64_t tokens = 0;
  float* y = nullptr;  // [tokens, rows]
  int64_t y_stride = 0;
  std::byte* scratch = nullptr;  // project_scratch_bytes(*matrix, tokens), 64-byte aligned
  int node = 0;                  // of the worker
};

/// Enough for that many tokens and for fewer.
int64_t project_scratch_bytes(const PackedMatrix& matrix, int64_t tokens) noexcept;

void project(const ProjectArgs& args) noexcept;

}  // namespace ktx::ops
