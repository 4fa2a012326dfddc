// Pairs of tokens and experts sorted by expert, and the tiles of work they make; for host and
// device.
#pragma once

#include <cstdint>

namespace ktx::ops::cuda {

/// In a GPU's memory. A pair is token * top_k + i; its position is where it stands sorted by expert
/// and token.
struct Routing {
  const int32_t* used = nullptr;         // one number: experts, in the order of the positions
  const int32_t* used_expert = nullptr;  // [used]
  const int32_t* used_first = nullptr;   // [used + 1] position of its first pair
  const int32_t* used_tiles = nullptr;   // [used + 1] tiles of tokens of those before
  const int32_t* order = nullptr;        // pair at each position
  int top_k = 0;
  // Which of the used experts are run: [begin, end), or up to the last. Rows that are found by
  // position are counted from the first pair of these.
  int begin = 0, end = 1 << 30;
};

/// The used experts that are run end here.
constexpr int end_of(const Routing& routing) noexcept {
  return routing.end < *routing.used ? routing.end : *routing.used;
}

/// One tile: positions [begin, end) with a block of an expert's rows.
struct RoutedTile {
  int expert, block, begin, end;
};

/// Tile `index` of used_tiles * row_blocks of all used experts. Tiles of tokens are innermost, so
/// that weights are read from memory once and then from the cache.
constexpr RoutedTile routed_tile(const Routing& routing, int row_blocks, int index,
                                 int tokens_a_tile) noexcept {
  int at = routing.begin,
      beyond = end_of(routing);  // used_tiles[at] * row_blocks <= index < that of beyond
  while (beyond - at > 1) {
    const int middle = (at + beyond) / 2;
    (routing.used_tiles[middle] * row_blocks <= index ? at : beyond) = middle;
  }
  const int tiles = routing.used_tiles[at + 1] - routing.used_tiles[at];
  const int in_expert = index - routing.used_tiles[at] * row_blocks;
  const int begin = routing.used_first[at] + in_expert % tiles * tokens_a_tile;
  const int end = routing.used_first[at + 1];
  return {routing.used_expert[at], in_expert / tiles, begin,
          begin + tokens_a_tile < end ? begin + tokens_a_tile : end};
}

}  // namespace ktx::ops::cuda
