// Rows decoded in pieces are the rows decoded whole.
#include "ops/matmul/decoded_rows.hpp"

#include "catch.hpp"
#include "ops/matmul/matrices.hpp"

using namespace ktx_test;

TEST_CASE("pieces of a row equal the row, for every format") {
  Random random(1);
  for (const auto& info : quant::formats()) {
    const int64_t cols = info.block <= 1 || info.partial ? 2600 : 2560 / info.block * info.block;
    INFO(info.name);
    const Matrix w(info.format, 1, cols, random);
    for (int64_t begin = 0; begin < cols; begin += ops::piece_columns) {
      const int64_t n = std::min(ops::piece_columns, cols - begin);
      std::vector<float> piece(static_cast<size_t>(n));
      ops::decode_piece(info.format, w.bytes.data(), begin, n, piece.data());
      REQUIRE(std::equal(piece.begin(), piece.end(), w.row(0) + begin));
    }
  }
}
