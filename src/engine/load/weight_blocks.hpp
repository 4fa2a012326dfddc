// Cuts weights into the blocks that loading reads and packs one by one.
#pragma once

#include <cstdint>
#include <vector>

#include "core/graph/module.hpp"

namespace ktx::engine {

/// Rows [row_begin, row_end) of `matrices` matrices of a weight: all rows if there are several
/// matrices or they are transposed.
struct WeightBlock {
  int64_t first_matrix = 0, matrices = 1;
  int64_t row_begin = 0, row_end = 0;  // row_begin is a multiple of ops::row_group
};

/// Columns of a row as the checkpoint stores it.
inline int64_t stored_cols(const graph::Weight& weight) noexcept {
  return weight.transposed ? weight.rows : weight.cols;
}
/// The stored rows that a block is made from, of the weight's count * (rows, or cols if
/// transposed).
struct StoredRows {
  int64_t first = 0, count = 0;
};
StoredRows stored_rows(const graph::Weight& weight, const WeightBlock& block) noexcept;

/// Bytes of the checkpoint that a block, or all of a weight, is made from.
uint64_t stored_bytes(const graph::Weight& weight, const WeightBlock& block) noexcept;
uint64_t stored_bytes(const graph::Weight& weight) noexcept;

/// In order, each of about 4 MiB as stored: large enough for the disk, small enough that a few per
/// worker take little memory.
std::vector<WeightBlock> cut(const graph::Weight& weight);

}  // namespace ktx::engine
