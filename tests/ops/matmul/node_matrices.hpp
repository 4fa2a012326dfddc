// Packed matrices spread over pretended NUMA nodes: copies and shards in memory of their own.
#pragma once

#include <cstring>
#include <list>
#include <string>
#include <vector>

#include "core/base/buffer.hpp"
#include "core/hw/worker_pool.hpp"
#include "ops/matmul/matmul.hpp"

namespace ktx_test {

enum class Spread { together, replicate, shard, one_node };

inline std::vector<ktx::hw::PoolNode> pool_nodes(const std::vector<int>& threads) {
  std::vector<ktx::hw::PoolNode> nodes;
  for (const int count : threads) nodes.push_back({count, {}});
  return nodes;
}

/// `count` matrices like `whole`, whose packed bytes lie one after another, for a pool of such
/// nodes. Shards are as long as the nodes have threads, and cut unevenly.
class NodeMatrices {
 public:
  NodeMatrices(const ktx::ops::PackedMatrix& whole, int64_t count, Spread spread,
               const std::vector<int>& threads)
      : matrix(whole) {
    if (spread == Spread::together) return;
    namespace ops = ktx::ops;
    const auto layout = whole.decode->layout(whole.format);
    const auto bytes_of = [&](int64_t rows) {
      return ops::packed_bytes(layout, whole.format, rows, whole.cols);
    };
    const int64_t whole_bytes = bytes_of(whole.rows);
    const int64_t row_bytes = ktx::quant::row_bytes(whole.format, whole.cols);
    int all = 0, before = 0;
    for (const int n : threads) all += n;
    for (size_t n = 0; n < threads.size(); ++n) {
      ops::NodeRows held{nullptr, 0, threads[n] > 0 ? whole.rows : 0, 0};
      if (spread == Spread::shard) {
        const auto cut = [&](int of) {
          return std::min(whole.rows,
                          whole.rows * of / all / ops::node_row_unit * ops::node_row_unit);
        };
        held.row_begin = cut(before);
        before += threads[n];
        held.row_end = before == all ? whole.rows : cut(before);
      } else if (spread == Spread::one_node) {
        held.row_end = n + 1 == threads.size() ? whole.rows : 0;
      }
      const int64_t rows = held.row_end - held.row_begin;
      if (rows > 0) {
        held.matrix_bytes = bytes_of(rows);
        auto& copy = memory_.emplace_back(static_cast<size_t>(count * held.matrix_bytes));
        const int64_t skipped =
            layout == ops::Layout::x16 ? bytes_of(held.row_begin) : held.row_begin * row_bytes;
        const int64_t copied = std::min(held.matrix_bytes, whole_bytes - skipped);
        for (int64_t m = 0; m < count; ++m)
          std::memcpy(copy.data() + m * held.matrix_bytes, whole.data + m * whole_bytes + skipped,
                      static_cast<size_t>(copied));
        held.data = copy.data();
      }
      nodes_.push_back(held);
    }
    matrix.data = nullptr;
    matrix.nodes = nodes_;
  }
  NodeMatrices(const NodeMatrices&) = delete;
  NodeMatrices& operator=(const NodeMatrices&) = delete;

  ktx::ops::PackedMatrix matrix;

 private:
  std::list<ktx::base::Buffer> memory_;
  std::vector<ktx::ops::NodeRows> nodes_;
};

}  // namespace ktx_test
