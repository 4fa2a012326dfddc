// Products with a matrix in Layout::rows.
#include "ops/matmul/decoded_rows.hpp"

#include <algorithm>
#include <cstring>

namespace ktx::ops {

void decode_piece(quant::Format format, const std::byte* row, int64_t begin, int64_t n,
                  float* out) noexcept {
  const quant::FormatInfo& info = quant::info(format);
  if (info.block != 0) {
    info.decode(row + begin / info.block * info.block_bytes, out, n);
    return;
  }
  // The block is the whole row, a head and a byte a weight: a piece with the head is a short row.
  std::byte piece[16 + piece_columns];
  const int64_t head = info.block_bytes;
  std::memcpy(piece, row, static_cast<size_t>(head));
  std::memcpy(piece + head, row + head + begin, static_cast<size_t>(n));
  info.decode(piece, out, n);
}

void multiply_decoded(const MatmulArgs& args) noexcept {
  constexpr int64_t block_rows = 4;
  alignas(64) float w[block_rows * piece_columns];
  const int64_t row_bytes = quant::row_bytes(args.format, args.cols);
  for (int64_t begin = args.row_begin; begin < args.row_end; begin += block_rows) {
    const int64_t count = std::min(block_rows, args.row_end - begin);
    float* y = args.y + (begin - args.row_begin);
    for (int64_t t = 0; t < args.x.tokens; ++t) std::fill_n(y + t * args.y_stride, count, 0.0f);
    for (int64_t c = 0; c < args.cols; c += piece_columns) {
      const int64_t n = std::min(piece_columns, args.cols - c);
      for (int64_t r = 0; r < count; ++r)
        decode_piece(args.format, args.weights + (begin + r) * row_bytes, c, n,
                     w + r * piece_columns);
      dot_ref({.w = w,
               .w_stride = piece_columns,
               .rows = count,
               .cols = n,
               .x = reinterpret_cast<const uint8_t*>(args.x.data) + c * 4,
               .x_row_bytes = args.x.row_bytes,
               .x_rows = args.x.rows,
               .tokens = args.x.tokens,
               .y = y,
               .y_stride = args.y_stride});
    }
  }
}

}  // namespace ktx::ops
