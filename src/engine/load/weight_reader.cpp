// Gathering a weight's rows from its pieces.
#include "engine/load/weight_reader.hpp"

#include <algorithm>
#include <cstring>

#include "core/base/error.hpp"
#include "engine/load/weight_blocks.hpp"

namespace ktx::engine {

WeightReader::WeightReader(const loader::TensorSource& source, const graph::Weight& weight)
    : source_(source), row_bytes_(quant::row_bytes(weight.source, stored_cols(weight))) {
  int64_t row = 0;
  for (const auto& piece : weight.pieces) {
    const auto* tensor = source.find(piece.tensor);
    // The plan was made from a header; what is read now must still be what it describes.
    if (tensor == nullptr || tensor->format != weight.source ||
        loader::matrix_cols(*tensor) != stored_cols(weight) || piece.first_row < 0 ||
        loader::matrix_rows(*tensor) - piece.first_row < piece.rows)
      throw_input("tensor '" + piece.tensor + "' is not what it was when the plan was made",
                  source.path().string());
    parts_.push_back({tensor, row, row + piece.rows, piece.first_row});
    row += piece.rows;
  }
  require(row == weight.count * (weight.transposed ? weight.cols : weight.rows),
          "a weight's pieces do not add up to its rows");
}

std::string WeightReader::stamp() const {
  std::string text;
  for (const auto& part : parts_)
    text += std::to_string(part.tensor_row) + " + " + std::to_string(part.end - part.begin) +
            " of " + source_.stamp(*part.tensor);
  return text;
}

std::vector<WeightReader::Run> WeightReader::runs(int64_t first, int64_t rows) const {
  std::vector<Run> runs;
  auto part = std::upper_bound(parts_.begin(), parts_.end(), first,
                               [](int64_t row, const Part& p) { return row < p.end; });
  for (; rows > 0; ++part) {
    require(part != parts_.end(), "rows past the end of a weight");
    const int64_t n = std::min(rows, part->end - first);
    runs.push_back({part->tensor, part->tensor_row + first - part->begin, n});
    first += n;
    rows -= n;
  }
  return runs;
}

WeightReader::StoredRow WeightReader::stored_at(int64_t row) const {
  const Run run = runs(row, 1).front();
  return {run.tensor, run.row};
}

// Several runs are gathered at the beginning of scratch, each read into what is behind.
size_t WeightReader::scratch_bytes(int64_t first, int64_t rows) const {
  size_t most = 0;
  const auto all = runs(first, rows);
  for (const auto& run : all)
    most = std::max(most, source_.scratch_bytes(*run.tensor, run.row, run.rows));
  return most + (all.size() > 1 ? static_cast<size_t>(rows * row_bytes_) : 0);
}

const std::byte* WeightReader::read(int64_t first, int64_t rows,
                                    std::span<std::byte> scratch) const {
  const auto all = runs(first, rows);
  if (all.size() == 1) return source_.rows(*all.front().tensor, all.front().row, rows, scratch);
  std::byte* out = scratch.data();
  for (const auto& run : all) {
    const auto behind = scratch.subspan(static_cast<size_t>(rows * row_bytes_));
    const auto bytes = static_cast<size_t>(run.rows * row_bytes_);
    std::memcpy(out, source_.rows(*run.tensor, run.row, run.rows, behind), bytes);
    out += bytes;
  }
  return scratch.data();
}

}  // namespace ktx::engine
