// Every row of a matrix is computed by one node, and read from memory that holds it.
#include "ops/matmul/node_rows.hpp"

#include "catch.hpp"
#include "ops/matmul/matrices.hpp"
#include "ops/matmul/node_matrices.hpp"

using namespace ktx_test;
using ktx::hw::WorkerPool;

namespace {

/// A row's first byte tells which it is, and which matrix it belongs to.
struct Numbered {
  Numbered(int64_t count, int64_t rows) : bytes(static_cast<size_t>(count * rows * 64)) {
    for (int64_t m = 0; m < count; ++m)
      for (int64_t r = 0; r < rows; ++r)
        bytes[static_cast<size_t>((m * rows + r) * 64)] = static_cast<std::byte>(100 * m + r / 16);
    matrix.data = bytes.data();
    matrix.rows = rows;
    matrix.cols = 16;
    matrix.matrix_bytes = rows * 64;
    matrix.decode = matrix.prefill = ops::find_matmul_kernel("ref");
  }
  std::vector<std::byte> bytes;
  ops::PackedMatrix matrix;
};

}  // namespace

TEST_CASE("nodes share all rows, and find each where it is") {
  const Numbered numbered(2, 1000);
  for (const std::vector<int>& threads :
       {std::vector<int>{3}, {1, 1}, {1, 2}, {2, 0, 1}, {1, 1, 2, 1}, {1, 1, 1, 1, 1, 1, 1, 1}})
    for (const auto spread :
         {Spread::together, Spread::replicate, Spread::shard, Spread::one_node}) {
      INFO(threads.size() << " nodes, spread " << static_cast<int>(spread));
      const NodeMatrices spread_out(numbered.matrix, 2, spread, threads);
      const auto& matrix = spread_out.matrix;
      WorkerPool pool(pool_nodes(threads));
      const bool near =
          spread == Spread::together || spread == Spread::replicate || threads.size() == 1;
      CHECK(ops::all_nodes_hold(matrix, pool) == near);
      int64_t next = 0;
      for (int node = 0; node < pool.nodes(); ++node) {
        const auto rows = ops::rows_of_node(matrix, pool, node);
        if (rows.begin == rows.end) continue;
        CHECK(rows.begin == next);
        CHECK(rows.begin % ops::node_row_unit == 0);
        CHECK(pool.threads_of(node) > 0);
        next = rows.end;
        for (int reader = 0; reader < pool.nodes(); ++reader)
          for (int64_t m = 0; m < 2; ++m) {
            const auto args = ops::weight_args(matrix, m, rows.begin, rows.end, reader);
            CHECK(args.row_end - args.row_begin == rows.end - rows.begin);
            CHECK(args.row_end <= args.rows);
            CHECK(args.weights[args.row_begin * 64] ==
                  static_cast<std::byte>(100 * m + rows.begin / 16));
          }
      }
      CHECK(next == 1000);
    }
}

TEST_CASE("a worker reads its own node's copy") {
  const Numbered numbered(1, 64);
  const NodeMatrices copies(numbered.matrix, 1, Spread::replicate, {1, 1});
  for (const int node : {0, 1})
    CHECK(ops::rows_near(copies.matrix, 40, node).data ==
          copies.matrix.nodes[static_cast<size_t>(node)].data);
}
