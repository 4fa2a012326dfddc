// Gathering a weight's rows from its pieces.
#include "engine/weight_reader.hpp"

#include <algorithm>
#include <cstring>

#include "core/base/error.hpp"

namespace ktx::engine {

WeightReader::WeightReader(const loader::TensorSource& source, const graph::Weight& weight)
    : source_(source),
      format_(weight.source),
      stored_cols_(weight.transposed ? weight.rows : weight.cols),
      row_bytes_(quant::row_bytes(weight.source, stored_cols_)) {
  int64_t row = 0;
  for (const auto& piece : weight.pieces) {
    const auto* tensor = source.find(piece.tensor);
    // The plan was made from a header; what is read now must still be what it describes.
    if (tensor == nullptr || tensor->format != weight.source ||
        loader::matrix_cols(*tensor) != stored_cols_ || piece.first_row < 0 ||
        loader::matrix_rows(*tensor) - piece.first_row < piece.rows)
      throw_input("tensor '" + piece.tensor + "' is not what it was when the plan was made",
                  source.path().string());
    parts_.push_back({tensor, row, row + piece.rows, piece.first_row});
    row += piece.rows;
  }
  require(row == weight.count * (weight.transposed ? weight.cols : weight.rows),
          "a weight's pieces do not add up to its rows");
}

const std::byte* WeightReader::read(int64_t first, int64_t rows,
                                    std::span<std::byte> scratch) const {
  auto part = std::upper_bound(parts_.begin(), parts_.end(), first,
                               [](int64_t row, const Part& p) { return row < p.end; });
  require(part != parts_.end(), "rows past the end of a weight");
  if (first + rows <= part->end)
    return source_.rows(*part->tensor, part->tensor_row + first - part->begin, rows, scratch);
  std::byte* out = scratch.data();
  const std::byte* const begin = out;
  for (int64_t left = rows; left > 0; ++part) {
    require(part != parts_.end(), "rows past the end of a weight");
    const int64_t n = std::min(left, part->end - first);
    const size_t bytes = static_cast<size_t>(n * row_bytes_);
    const std::byte* from =
        source_.rows(*part->tensor, part->tensor_row + first - part->begin, n, {out, bytes});
    if (from != out) std::memcpy(out, from, bytes);
    out += bytes;
    first += n;
    left -= n;
  }
  return begin;
}

void WeightReader::prefetch() const {
  for (const auto& part : parts_) source_.prefetch(*part.tensor);
}

void WeightReader::release() const {
  for (const auto& part : parts_) source_.release(*part.tensor);
}

}  // namespace ktx::engine
