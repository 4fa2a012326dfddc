// The common core of mla and gqa on tiles.
#include "ops/attention/tiled.hpp"

namespace ktx::ops {

TiledBuffers::TiledBuffers(Arena& arena, const TiledShape& shape, int64_t rows) noexcept
    : queries(arena.take<uint8_t>(squares_of(rows) * shape.key_steps * square_bytes)),
      keys(arena.take<uint8_t>(squares_of(tile_keys) * shape.key_steps * square_bytes)),
      values(arena.take<uint8_t>(shape.value_panels * TiledTask::value_panel_bytes)),
      scores(arena.take<float>(tile_keys * tile_queries)),
      max(arena.take<float>(squares_of(rows) * tile_queries)),
      sum(arena.take<float>(squares_of(rows) * tile_queries)),
      sums_of_values(
          arena.take<float>(squares_of(rows) * tile_queries * shape.value_panels * square_side)) {}

TileState TiledTask::state(int64_t panel) const noexcept {
  const int64_t query = panel * tile_queries;
  return {buffers.max + query, buffers.sum + query,
          buffers.sums_of_values + query * shape.value_panels * square_side};
}

KeyRange TiledTask::keys() const noexcept {
  const int64_t begin = seen_from(position_of(0), window).begin;
  return {begin / key_block * key_block, seen_from(position_of(rows - 1), window).end};
}

void clear(const TiledTask& task) noexcept {
  const int64_t queries = task.query_panels() * tile_queries;
  std::fill_n(task.buffers.max, queries, no_score);
  std::fill_n(task.buffers.sum, queries, 0.0f);
  std::fill_n(task.buffers.sums_of_values, queries * task.shape.value_panels * square_side, 0.0f);
}

void attend(const TiledTask& task, const KeyRange& keys) noexcept {
  for_query_panels(task, [&](int64_t panel, int64_t row, int64_t rows) noexcept {
    TileAttendArgs args{.queries = task.buffers.queries + panel * task.query_panel_bytes(),
                        .keys = task.buffers.keys,
                        .key_steps = task.shape.key_steps,
                        .values = task.buffers.values,
                        .value_bytes = TiledTask::value_panel_bytes,
                        .value_panels = task.shape.value_panels,
                        .scores = task.buffers.scores,
                        .state = task.state(panel)};
    for (int64_t q = 0; q < tile_queries; ++q) {
      // What fills up the panel sees what the last row does.
      const int64_t position = task.position_of(row + std::min(q, rows - 1));
      const KeyRange seen = seen_from(position, task.window);
      args.begin[q] = int32_t(std::clamp(seen.begin, keys.begin, keys.end) - keys.begin);
      args.end[q] = int32_t(std::clamp(seen.end, keys.begin, keys.end) - keys.begin);
    }
    const int64_t count = keys.end - keys.begin;
    if (args.end[tile_queries - 1] > 0 && args.begin[0] < count) task.tiles.attend(args);
  });
}

}  // namespace ktx::ops
