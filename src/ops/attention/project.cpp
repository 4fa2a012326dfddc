// Rows of floats times a packed matrix, on one thread.
#include "ops/attention/project.hpp"

#include <algorithm>

#include "ops/matmul/node_rows.hpp"

namespace ktx::ops {
namespace {

/// Up to here the matrix's bytes matter more than the products. Lower than decode_tokens of
/// linear.hpp: one head's matrix stays in its core's cache, where bytes cost less.
constexpr int64_t project_decode_tokens = 4;

int64_t row_bytes(const MatmulKernel& kernel, const PackedMatrix& matrix) noexcept {
  return activation_row_bytes(kernel.activation(matrix.format), matrix.cols);
}

}  // namespace

int64_t project_scratch_bytes(const PackedMatrix& matrix, int64_t tokens) noexcept {
  return tokens * std::max(row_bytes(*matrix.decode, matrix), row_bytes(*matrix.prefill, matrix));
}

void project(const ProjectArgs& args) noexcept {
  const PackedMatrix& matrix = *args.matrix;
  const MatmulKernel& kernel =
      args.tokens <= project_decode_tokens ? *matrix.decode : *matrix.prefill;
  const ActivationFormat format = kernel.activation(matrix.format);
  MatmulArgs matmul = weight_args(matrix, 0, 0, matrix.rows, args.node);
  matmul.x.data = args.scratch;
  matmul.x.row_bytes = row_bytes(kernel, matrix);
  matmul.x.tokens = args.tokens;
  matmul.y = args.y;
  matmul.y_stride = args.y_stride;
  for (int64_t t = 0; t < args.tokens; ++t) {
    kernel.prepare(format, args.x + t * args.x_stride, matrix.cols,
                   args.scratch + t * matmul.x.row_bytes);
  }
  kernel.run(matmul);
}

}  // namespace ktx::ops
