// Rows gathered over the borders of pieces.
#include "engine/load/weight_reader.hpp"

#include "catch.hpp"
#include "core/base/error.hpp"
#include "support/reference.hpp"

using namespace ktx;

namespace {
// Rows of 256 bytes.
std::vector<std::byte> read(const engine::WeightReader& reader, int64_t first, int64_t rows) {
  std::vector<std::byte> scratch(reader.scratch_bytes(first, rows));
  const std::byte* from = reader.read(first, rows, scratch);
  return {from, from + rows * 256};
}
}  // namespace

TEST_CASE("rows come from the right places of the right tensors") {
  const auto source = loader::open_checkpoint(test::data_dir / "arch/llama");
  const std::string q = "model.layers.0.self_attn.q_proj.weight";
  const std::string k = "model.layers.1.self_attn.k_proj.weight";
  graph::Weight weight{.role = "weight",
                       .source = quant::Format::bf16,
                       .rows = 40,
                       .cols = 128,
                       .pieces = {{q, 100, 20}, {k, 3, 5}, {q, 0, 15}}};
  const engine::WeightReader reader(*source, weight);
  std::vector<std::byte> expected;
  for (const auto& piece : weight.pieces) {
    const auto from =
        loader::read_rows(*source, *source->find(piece.tensor), piece.first_row, piece.rows);
    expected.insert(expected.end(), from.begin(), from.end());
  }
  CHECK(read(reader, 0, 40) == expected);
  for (int64_t first = 0; first < 40; ++first)
    for (int64_t rows = 1; first + rows <= 40; rows += 7)
      REQUIRE(read(reader, first, rows) ==
              std::vector<std::byte>(expected.begin() + first * 256,
                                     expected.begin() + (first + rows) * 256));
  CHECK_THROWS_AS(read(reader, 39, 2), Error);

  const std::string stamp = reader.stamp();
  CHECK(stamp == engine::WeightReader(*source, weight).stamp());
  auto other = weight;
  other.pieces[2].first_row = 1;
  CHECK(stamp != engine::WeightReader(*source, other).stamp());

  weight.pieces[1].tensor = "no such tensor";
  CHECK_THROWS_AS(engine::WeightReader(*source, weight), Error);
}
