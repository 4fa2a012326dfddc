// Tiles of sorted pairs: each once, of all experts or of a range of them.
#include "ops/matmul/cuda/routed_tiles.hpp"

#include <array>
#include <map>
#include <utility>

#include "catch.hpp"

using namespace ktx::ops::cuda;

TEST_CASE("routed tiles: every block of rows meets every position once") {
  constexpr int tokens_a_tile = 8, row_blocks = 3;
  // Tokens of five experts: 3, 0, 17, 8, 1.
  constexpr int32_t used = 5;
  constexpr std::array<int32_t, 5> expert{9, 2, 4, 7, 0};
  constexpr std::array<int32_t, 6> first{0, 3, 3, 20, 28, 29}, tiles{0, 1, 1, 4, 5, 6};
  for (const auto& [begin, end] :
       {std::pair{0, 1 << 30}, std::pair{0, 2}, std::pair{1, 4}, std::pair{3, 9}}) {
    const Routing routing{.used = &used,
                          .used_expert = expert.data(),
                          .used_first = first.data(),
                          .used_tiles = tiles.data(),
                          .begin = begin,
                          .end = end};
    std::map<std::pair<int, int>, int> times;  // of a position and a block
    const int last = end_of(routing);
    for (int index = tiles[static_cast<size_t>(begin)] * row_blocks;
         index < tiles[static_cast<size_t>(last)] * row_blocks; ++index) {
      const RoutedTile tile = routed_tile(routing, row_blocks, index, tokens_a_tile);
      CHECK((tile.begin < tile.end && tile.end <= tile.begin + tokens_a_tile));
      for (int position = tile.begin; position < tile.end; ++position) {
        ++times[{position, tile.block}];
        size_t of = 0;
        while (first[of + 1] <= position) ++of;
        CHECK(tile.expert == expert[of]);
      }
    }
    const int positions = first[static_cast<size_t>(last)] - first[static_cast<size_t>(begin)];
    CHECK(times.size() == static_cast<size_t>(positions * row_blocks));
    for (const auto& [where, n] : times) CHECK(n == 1);
  }
}
