// Whole matrices where several fit into a block, else groups of rows of one.
#include "engine/load/weight_blocks.hpp"

#include <algorithm>

#include "core/quant/format.hpp"
#include "ops/matmul/matmul.hpp"

namespace ktx::engine {

namespace {

constexpr int64_t block_bytes = int64_t{4} << 20;

int64_t matrix_stored_rows(const graph::Weight& weight) noexcept {
  return weight.transposed ? weight.cols : weight.rows;
}

uint64_t bytes_of_rows(const graph::Weight& weight, int64_t rows) noexcept {
  return static_cast<uint64_t>(rows * quant::row_bytes(weight.source, stored_cols(weight)));
}

}  // namespace

StoredRows stored_rows(const graph::Weight& weight, const WeightBlock& block) noexcept {
  const int64_t rows = matrix_stored_rows(weight);
  if (weight.transposed) return {block.first_matrix * rows, block.matrices * rows};
  return {block.first_matrix * rows + block.row_begin,
          (block.matrices - 1) * rows + block.row_end - block.row_begin};
}

uint64_t stored_bytes(const graph::Weight& weight, const WeightBlock& block) noexcept {
  return bytes_of_rows(weight, stored_rows(weight, block).count);
}

uint64_t stored_bytes(const graph::Weight& weight) noexcept {
  return bytes_of_rows(weight, weight.count * matrix_stored_rows(weight));
}

std::vector<WeightBlock> cut(const graph::Weight& weight) {
  const auto row_bytes = static_cast<int64_t>(std::max<uint64_t>(1, bytes_of_rows(weight, 1)));
  const int64_t matrix_bytes = row_bytes * matrix_stored_rows(weight);
  std::vector<WeightBlock> blocks;
  if (matrix_bytes <= block_bytes || weight.transposed) {
    const int64_t matrices = std::max<int64_t>(1, block_bytes / std::max<int64_t>(1, matrix_bytes));
    for (int64_t m = 0; m < weight.count; m += matrices)
      blocks.push_back({m, std::min(matrices, weight.count - m), 0, weight.rows});
    return blocks;
  }
  const int64_t groups = std::max<int64_t>(1, block_bytes / (row_bytes * ops::row_group));
  const int64_t rows = groups * ops::row_group;
  for (int64_t m = 0; m < weight.count; ++m)
    for (int64_t begin = 0; begin < weight.rows; begin += rows)
      blocks.push_back({m, 1, begin, std::min(weight.rows, begin + rows)});
  return blocks;
}

}  // namespace ktx::engine
