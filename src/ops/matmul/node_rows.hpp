// Matrices on several NUMA nodes: which rows each node's workers compute, and where they read them.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/hw/worker_pool.hpp"
#include "ops/matmul/matmul.hpp"

namespace ktx::ops {

struct RowRange {
  int64_t begin = 0, end = 0;
};

/// Whether every node that has workers can read all rows near: then all share them by their number
/// of workers, and may take each other's.
inline bool all_nodes_hold(const PackedMatrix& matrix, const hw::WorkerPool& pool) noexcept {
  for (size_t n = 0; n < matrix.nodes.size(); ++n) {
    const NodeRows& held = matrix.nodes[n];
    if (pool.threads_of(static_cast<int>(n)) > 0 && held.row_end - held.row_begin < matrix.rows)
      return false;
  }
  return true;
}

/// The rows that a node's workers compute: those that it alone holds, or its part by workers of
/// those that all hold, which stealing evens out. All nodes' together are all rows.
inline RowRange rows_of_node(const PackedMatrix& matrix, const hw::WorkerPool& pool,
                             int node) noexcept {
  if (pool.nodes() == 1) return {0, matrix.rows};
  if (!all_nodes_hold(matrix, pool)) {
    const NodeRows& held = matrix.nodes[static_cast<size_t>(node)];
    return {held.row_begin, held.row_end};
  }
  int64_t before = 0;
  for (int n = 0; n < node; ++n) before += pool.threads_of(n);
  const int64_t units = (matrix.rows + node_row_unit - 1) / node_row_unit;
  const auto cut = [&](int64_t threads) noexcept {
    return std::min(matrix.rows, units * threads / pool.size() * node_row_unit);
  };
  return {cut(before), cut(before + pool.threads_of(node))};
}

/// What a worker of `node` reads to compute rows from `row` on: its own node's memory if that holds
/// them, else that of a node which does.
inline NodeRows rows_near(const PackedMatrix& matrix, int64_t row, int node) noexcept {
  if (matrix.nodes.empty()) return {matrix.data, 0, matrix.rows, matrix.matrix_bytes};
  const auto holds = [row](const NodeRows& rows) noexcept {
    return rows.row_begin <= row && row < rows.row_end;
  };
  const NodeRows& own = matrix.nodes[static_cast<size_t>(node)];
  return holds(own) ? own : *std::find_if(matrix.nodes.begin(), matrix.nodes.end(), holds);
}

/// The part of a product's arguments that says which weights: rows [row_begin, row_end) of matrix
/// `index`, all of them in one node's memory, for a worker of `node`.
inline MatmulArgs weight_args(const PackedMatrix& matrix, int64_t index, int64_t row_begin,
                              int64_t row_end, int node) noexcept {
  const NodeRows held = rows_near(matrix, row_begin, node);
  return {.weights = held.data + index * held.matrix_bytes,
          .format = matrix.format,
          .rows = held.row_end - held.row_begin,
          .cols = matrix.cols,
          .row_begin = row_begin - held.row_begin,
          .row_end = row_end - held.row_begin};
}

/// Where a worker of `node` reads the packed rows from `row` on of matrix `index`; in Layout::rows
/// about there.
inline const std::byte* weights_at(const PackedMatrix& matrix, int64_t index, int64_t row,
                                   int node) noexcept {
  const NodeRows held = rows_near(matrix, row, node);
  return held.data + index * held.matrix_bytes +
         packed_bytes(matrix.decode->layout(matrix.format), matrix.format, row - held.row_begin,
                      matrix.cols);
}

}  // namespace ktx::ops
