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

/// Converts x for the kernel into the scratch: block `block` of project_blocks(). Matrices of the
/// same shape, format and kernels can share what it makes.
void prepare_block(const ProjectArgs& args, int64_t block) noexcept;
int64_t project_blocks(int64_t tokens) noexcept;

/// Multiplies what has been prepared.
void multiply_prepared(const ProjectArgs& args) noexcept;

/// Both.
void project(const ProjectArgs& args) noexcept;

}  // namespace ktx::ops
