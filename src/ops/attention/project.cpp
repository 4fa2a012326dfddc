// Rows of floats times a packed matrix, on one thread.
#include "ops/attention/project.hpp"

#include <algorithm>

#include "ops/matmul/node_rows.hpp"
#include "ops/matmul/tiles/tiles.hpp"

namespace ktx::ops {
namespace {

/// Up to here the matrix's bytes matter more than the products. Lower than decode_tokens of
/// linear.hpp: one head's matrix stays in its core's cache, where bytes cost less.
constexpr int64_t project_decode_tokens = 4;

const MatmulKernel& kernel_of(const ProjectArgs& args) noexcept {
  return args.tokens <= project_decode_tokens ? *args.matrix->decode : *args.matrix->prefill;
}

int64_t row_bytes(const MatmulKernel& kernel, const PackedMatrix& matrix) noexcept {
  return activation_row_bytes(kernel.activation(matrix.format), matrix.cols);
}

Activations activations(const ProjectArgs& args) noexcept {
  const PackedMatrix& matrix = *args.matrix;
  const auto format = activation_for(kernel_of(args), matrix.format, matrix.cols, args.tokens);
  return {.format = format,
          .data = args.scratch,
          .row_bytes = is_tiles(format) ? 0 : row_bytes(kernel_of(args), matrix),
          .tokens = args.tokens};
}

/// Converts a block of x for the kernel, into the scratch.
void prepare_block(const ProjectArgs& args, int64_t block) noexcept {
  const Activations to = activations(args);
  const int64_t first = block * tile_tokens, cols = args.matrix->cols;
  const int64_t tokens = std::min(tile_tokens, args.tokens - first);
  if (is_tiles(to.format)) {
    kernel_of(args).pack_tiles(to.format, {.x = args.x + first * args.x_stride,
                                           .x_stride = args.x_stride,
                                           .tokens = tokens,
                                           .cols = cols,
                                           .tiles = reinterpret_cast<uint8_t*>(args.scratch),
                                           .block = block,
                                           .blocks = parts_of(args.tokens, tile_tokens)});
    return;
  }
  for (int64_t t = first; t < first + tokens; ++t)
    kernel_of(args).prepare(to.format, args.x + t * args.x_stride, cols,
                            args.scratch + t * to.row_bytes);
}

}  // namespace

int64_t project_scratch_bytes(const PackedMatrix& matrix, int64_t tokens) noexcept {
  int64_t bytes = 0;
  for (const MatmulKernel* kernel : {matrix.decode, matrix.prefill}) {
    bytes = std::max(bytes, tokens * row_bytes(*kernel, matrix));
    const auto format = activation_for(*kernel, matrix.format, matrix.cols, tokens);
    if (is_tiles(format)) bytes = std::max(bytes, tile_bytes_of(format, matrix.cols, tokens));
  }
  return bytes;
}

void project(const ProjectArgs& args) noexcept {
  for (int64_t block = 0; block < parts_of(args.tokens, tile_tokens); ++block)
    prepare_block(args, block);
  MatmulArgs matmul = weight_args(*args.matrix, 0, 0, args.matrix->rows, args.node);
  matmul.x = activations(args);
  matmul.y = args.y;
  matmul.y_stride = args.y_stride;
  kernel_of(args).run(matmul);
}

}  // namespace ktx::ops
