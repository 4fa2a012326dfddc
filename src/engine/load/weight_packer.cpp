// Packing in steps small enough for the caches.
#include "engine/load/weight_packer.hpp"

#include <algorithm>

namespace ktx::engine {

namespace {

// Rows of one step: whole groups of the packed layout, about this many numbers, so that they stay
// in the second-level cache between decoding, encoding and packing.
constexpr int64_t numbers_per_step = 1 << 16;

int64_t rows_per_step(const graph::Weight& weight) {
  if (weight.transposed) return weight.rows;  // one head, small, turned as a whole
  const int64_t wanted = numbers_per_step / std::max<int64_t>(1, weight.cols);
  const int64_t groups = std::max<int64_t>(1, wanted / ops::row_group);
  return std::min(weight.rows, groups * ops::row_group);
}

// Rows of cols numbers from and to f32.
void decode(quant::Format format, const std::byte* stored, int64_t rows, int64_t cols, float* out) {
  const int64_t row_bytes = quant::row_bytes(format, cols);
  for (int64_t r = 0; r < rows; ++r)
    quant::info(format).decode(stored + r * row_bytes, out + r * cols, cols);
}

void encode(quant::Format format, const float* in, int64_t rows, int64_t cols, std::byte* out) {
  const int64_t row_bytes = quant::row_bytes(format, cols);
  for (int64_t r = 0; r < rows; ++r)
    quant::info(format).encode(in + r * cols, out + r * row_bytes, cols);
}

// [cols, rows] to [rows, cols].
void transpose(const float* in, int64_t rows, int64_t cols, float* out) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < cols; ++c) out[r * cols + c] = in[c * rows + r];
}

}  // namespace

// `rows` rows of the weight in its format in memory. stored: those rows; or if transposed, the
// matrix that they are.
const std::byte* WeightPacker::converted(const std::byte* stored, int64_t rows,
                                         PackScratch& s) const {
  if (!weight_.transposed && weight_.source == format_) return stored;
  const int64_t cols = weight_.cols;
  const auto numbers = static_cast<size_t>(rows * cols);
  s.floats.resize(std::max(s.floats.size(), numbers));
  const float* floats = s.floats.data();
  if (weight_.transposed) {
    decode(weight_.source, stored, cols, rows, s.floats.data());
    s.turned.resize(std::max(s.turned.size(), numbers));
    transpose(floats, rows, cols, s.turned.data());
    floats = s.turned.data();
  } else {
    decode(weight_.source, stored, rows, cols, s.floats.data());
  }
  const auto bytes = static_cast<size_t>(rows * quant::row_bytes(format_, cols));
  s.encoded.resize(std::max(s.encoded.size(), bytes));
  encode(format_, floats, rows, cols, s.encoded.data());
  return s.encoded.data();
}

void WeightPacker::pack(const WeightBlock& block, const std::byte* stored,
                        std::span<const Destination> destinations, PackScratch& scratch) const {
  const int64_t step = rows_per_step(weight_);
  const int64_t stored_row_bytes = quant::row_bytes(weight_.source, stored_cols(weight_));
  const int64_t row_bytes = quant::row_bytes(format_, weight_.cols);
  for (int64_t m = block.first_matrix; m < block.first_matrix + block.matrices; ++m)
    for (int64_t begin = block.row_begin; begin < block.row_end; begin += step) {
      const int64_t end = std::min(block.row_end, begin + step);
      const std::byte* rows = converted(stored, end - begin, scratch);
      stored += (weight_.transposed ? weight_.cols : end - begin) * stored_row_bytes;
      for (const auto& to : destinations) {
        const int64_t first = std::max(begin, to.row_begin), last = std::min(end, to.row_end);
        if (first >= last || to.slot(m) < 0) continue;
        ops::pack_matrix({.layout = layout_,
                          .format = format_,
                          .rows = to.row_end - to.row_begin,
                          .cols = weight_.cols,
                          .row_begin = first - to.row_begin,
                          .row_end = last - to.row_begin,
                          .src = rows + (first - begin) * row_bytes,
                          .dst = to.data + to.slot(m) * to.matrix_bytes});
      }
    }
}

uint64_t WeightPacker::scratch_bytes(const graph::Weight& weight, quant::Format format) {
  if (!weight.transposed && weight.source == format) return 0;
  const int64_t rows = rows_per_step(weight);
  const int64_t floats = rows * weight.cols * static_cast<int64_t>(sizeof(float));
  return static_cast<uint64_t>(floats * (weight.transposed ? 2 : 1) +
                               rows * quant::row_bytes(format, weight.cols));
}

}  // namespace ktx::engine
