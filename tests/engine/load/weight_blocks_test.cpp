// Blocks cover a weight once, in order.
#include "engine/load/weight_blocks.hpp"

#include "catch.hpp"
#include "ops/matmul/matmul.hpp"

using namespace ktx;

namespace {

void check_cut(const graph::Weight& weight) {
  INFO(weight.count << " x " << weight.rows << " x " << weight.cols);
  constexpr uint64_t large = 8u << 20;
  int64_t next = 0;
  uint64_t bytes = 0;
  for (const auto& block : engine::cut(weight)) {
    const auto rows = engine::stored_rows(weight, block);
    REQUIRE(rows.first == next);
    REQUIRE(rows.count > 0);
    next += rows.count;
    CHECK(block.row_begin % ops::row_group == 0);
    CHECK((block.matrices == 1 || (block.row_begin == 0 && block.row_end == weight.rows)));
    const auto block_bytes = engine::stored_bytes(weight, block);
    // Nothing smaller than a group of rows, or than a matrix that is to be turned, can be packed.
    CHECK((block_bytes <= large || weight.transposed || rows.count <= ops::row_group));
    bytes += block_bytes;
  }
  CHECK(next == weight.count * (weight.transposed ? weight.cols : weight.rows));
  CHECK(bytes == engine::stored_bytes(weight));
}

}  // namespace

TEST_CASE("small, large, odd and transposed weights are cut without a gap") {
  using quant::Format;
  check_cut({.source = Format::q4_k, .count = 256, .rows = 2048, .cols = 7168});
  check_cut({.source = Format::fp8, .count = 3, .rows = 7168, .cols = 2050});
  check_cut({.source = Format::bf16, .count = 1, .rows = 129'283, .cols = 512});
  check_cut({.source = Format::f32, .count = 1, .rows = 5, .cols = 4'000'000});
  check_cut({.source = Format::f32, .count = 1, .rows = 1, .cols = 7168});
  check_cut({.source = Format::q8_0, .count = 1000, .rows = 48, .cols = 256});
  check_cut({.source = Format::q8_0, .count = 128, .rows = 512, .cols = 128, .transposed = true});
  check_cut({.source = Format::f32, .count = 2, .rows = 2048, .cols = 2048, .transposed = true});
}

TEST_CASE("a weight of true size is read in megabytes") {
  const graph::Weight experts{
      .source = quant::Format::q4_k, .count = 256, .rows = 2048, .cols = 7168};
  const auto blocks = engine::cut(experts);
  CHECK(engine::stored_bytes(experts) / blocks.size() > 2u << 20);
  CHECK(engine::stored_bytes(experts, blocks.front()) > 3u << 20);
}
