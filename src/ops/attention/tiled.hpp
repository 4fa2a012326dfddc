// The common core of mla and gqa on tiles: rows of queries over all keys that they see, a tile of
// keys at a time, which the caller packs.
#pragma once

#include <algorithm>
#include <cstdint>

#include "ops/arena.hpp"
#include "ops/attention/attend.hpp"
#include "ops/attention/attention_tiles.hpp"

namespace ktx::ops {

/// What so many multiply-adds on tiles cost, in multiply-adds of the f32 loops.
inline int64_t tile_cost(const AttentionTiles& tiles, int64_t multiply_adds) noexcept {
  return multiply_adds * 10 / tiles.speed;
}

/// Sizes in squares.
struct TiledShape {
  int64_t key_steps = 0;     // of a key
  int64_t value_panels = 0;  // of a value
};

/// What a task needs: up to `rows` queries and a tile of keys.
struct TiledBuffers {
  TiledBuffers(Arena& arena, const TiledShape& shape, int64_t rows) noexcept;

  uint8_t* queries;  // right panels
  uint8_t* keys;     // left panels
  uint8_t* values;   // left panels, k = keys
  float* scores;
  float *max, *sum, *sums_of_values;  // TileState of every panel of queries
};

/// Rows [first_row, first_row + rows) of a step; rows_per_token, past, window: see AttendArgs.
struct TiledTask {
  const AttentionTiles& tiles;
  TiledShape shape;
  TiledBuffers buffers;
  int64_t rows = 0, first_row = 0, rows_per_token = 1;
  int64_t past = 0, window = 0;

  int64_t position_of(int64_t row) const noexcept {
    return past + (first_row + row) / rows_per_token;
  }
  int64_t query_panels() const noexcept { return squares_of(rows); }
  int64_t query_panel_bytes() const noexcept { return shape.key_steps * square_bytes; }
  int64_t key_panel_bytes() const noexcept { return shape.key_steps * square_bytes; }
  static constexpr int64_t value_panel_bytes = squares_of(tile_keys) * square_bytes;
  TileState state(int64_t panel) const noexcept;
  /// All positions that any row sees, from the first of their page on.
  KeyRange keys() const noexcept;
};

/// Makes the state that of no key seen.
void clear(const TiledTask& task) noexcept;

/// Adds to the state what the rows see of the packed keys, those at [keys.begin, keys.end).
void attend(const TiledTask& task, const KeyRange& keys) noexcept;

/// The rows of a task, a panel at a time: body(panel, first row, rows).
template <class Body>
void for_query_panels(const TiledTask& task, const Body& body) noexcept {
  for (int64_t panel = 0; panel < task.query_panels(); ++panel) {
    const int64_t row = panel * tile_queries;
    body(panel, row, std::min(tile_queries, task.rows - row));
  }
}

/// The keys that the rows see, a tile at a time: pack(range) packs them.
template <class Pack>
void attend_tiles(const TiledTask& task, const Pack& pack) noexcept {
  clear(task);
  const KeyRange all = task.keys();
  for (int64_t begin = all.begin; begin < all.end; begin += tile_keys) {
    const KeyRange tile{begin, std::min(all.end, begin + tile_keys)};
    pack(tile);
    attend(task, tile);
  }
}

/// Writes the attention of every row: value_dim floats at out_of(row).
template <class OutOf>
void write(const TiledTask& task, int64_t value_dim, const OutOf& out_of) noexcept {
  for_query_panels(task, [&](int64_t panel, int64_t row, int64_t rows) noexcept {
    TileWriteArgs args{.state = task.state(panel), .value_dim = value_dim, .queries = rows};
    for (int64_t r = 0; r < rows; ++r) args.out[r] = out_of(row + r);
    task.tiles.write(args);
  });
}

}  // namespace ktx::ops
