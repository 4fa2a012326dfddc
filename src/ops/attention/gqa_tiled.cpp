// gqa on tiles: the rows of a key head's queries, a tile of keys at a time.
#include <algorithm>

#include "ops/arena.hpp"
#include "ops/attention/gqa_paths.hpp"
#include "ops/attention/tiled.hpp"
#include "ops/parallel.hpp"

namespace ktx::ops {
namespace {

constexpr int64_t most_segment = 2048;  // rows of a task, which bounds the scratch
constexpr int64_t least_segment = 128;  // fewer, and packing keys costs as much as attending
constexpr int64_t enough_tasks = 64;

int64_t group_of(const graph::GqaParams& p) noexcept {
  return p.heads / p.kv_heads;
}

/// Rows of a task, whole panels. A function of the shapes alone, so that threads change no result.
int64_t segment_rows(const graph::GqaParams& p, int64_t rows) noexcept {
  const int64_t wanted = (enough_tasks + p.kv_heads - 1) / p.kv_heads;
  const int64_t share = squares_of((rows + wanted - 1) / wanted) * square_side;
  return std::min(rows, std::clamp(share, least_segment, most_segment));
}

int64_t segments_of(const graph::GqaParams& p, int64_t tokens) noexcept {
  const int64_t rows = tokens * group_of(p), segment = segment_rows(p, rows);
  return (rows + segment - 1) / segment;
}

TiledShape shape_of(const graph::GqaParams& p) noexcept {
  return {squares_of(p.head), squares_of(p.head)};
}

/// What one worker needs for one task.
struct Work {
  Work(Arena& arena, const graph::GqaParams& p, int64_t segment) noexcept
      : q(arena.take<float>(tile_queries * p.head)),
        keys(arena.take<float>(key_block * p.head)),
        values(arena.take<float>(key_block * p.head)),
        buffers(arena, shape_of(p), segment) {}
  float *q, *keys, *values;  // to be packed
  TiledBuffers buffers;
};

struct Task {
  const GqaArgs& args;
  const SequenceRows& sequence;
  const Work& work;
  int64_t kv_head;
  TiledTask tiled;  // row r is head r % group of token r / group

  int64_t head_of(int64_t row) const noexcept {
    const int64_t group = group_of(*args.params);
    return kv_head * group + (tiled.first_row + row) % group;
  }
  int64_t batch_row(int64_t row) const noexcept {
    return sequence.first_row + tiled.position_of(row) - sequence.past;
  }
};

void pack_queries(const Task& task) noexcept {
  const graph::GqaParams& p = *task.args.params;
  for_query_panels(task.tiled, [&](int64_t panel, int64_t row, int64_t rows) noexcept {
    for (int64_t r = 0; r < rows; ++r) {
      float* q = task.work.q + r * p.head;
      std::copy_n(task.args.q + task.batch_row(row + r) * task.args.q_stride +
                      task.head_of(row + r) * p.head,
                  p.head, q);
      task.args.rope->rotate(q, task.tiled.position_of(row + r));
    }
    task.tiled.tiles.pack(
        {.x = task.work.q,
         .stride = p.head,
         .rows = rows,
         .cols = p.head,
         .k = Direction::along_rows,
         .side = Side::right,
         .scale = p.scale * log2_e,
         .panels = task.work.buffers.queries + panel * task.tiled.query_panel_bytes(),
         .panel_bytes = task.tiled.query_panel_bytes()});
  });
}

/// Packs the keys and values of a page at [begin, end), `at` from the first of their tile.
void pack_page(const Task& task, int64_t begin, int64_t end, int64_t at) noexcept {
  const graph::GqaParams& p = *task.args.params;
  const HeadRows rows = read_head({.args = &task.args,
                                   .sequence = &task.sequence,
                                   .kv_head = task.kv_head,
                                   .begin = begin,
                                   .end = end,
                                   .keys = task.work.keys,
                                   .values = task.work.values});
  const int64_t square = at / square_side;
  PanelPackArgs pack{.x = rows.keys.data,
                     .stride = rows.keys.stride,
                     .rows = end - begin,
                     .cols = p.head,
                     .k = Direction::along_rows,
                     .side = Side::left,
                     .panels = task.work.buffers.keys + square * task.tiled.key_panel_bytes(),
                     .panel_bytes = task.tiled.key_panel_bytes()};
  task.tiled.tiles.pack(pack);
  pack.x = rows.values.data;
  pack.stride = rows.values.stride;
  pack.k = Direction::across_rows;
  pack.panels = task.work.buffers.values + square * square_bytes;
  pack.panel_bytes = TiledTask::value_panel_bytes;
  task.tiled.tiles.pack(pack);
}

void run_task(const Task& task) noexcept {
  const int64_t head = task.args.params->head;
  pack_queries(task);
  attend_tiles(task.tiled, [&](const KeyRange& tile) noexcept {
    for (int64_t page = tile.begin; page < tile.end; page += key_block)
      pack_page(task, page, std::min(tile.end, page + key_block), page - tile.begin);
  });
  write(task.tiled, head, [&](int64_t row) noexcept {
    return task.args.out + task.batch_row(row) * task.args.out_stride + task.head_of(row) * head;
  });
}

void run_sequence(const GqaArgs& args, const SequenceRows& sequence,
                  hw::WorkerPool& pool) noexcept {
  const graph::GqaParams& p = *args.params;
  const int64_t group = group_of(p), rows = sequence.rows * group;
  const int64_t segment = segment_rows(p, rows);
  Arena measure;
  Work(measure, p, segment);
  const int64_t tasks = p.kv_heads * segments_of(p, sequence.rows);
  const int64_t cost = tile_cost(*sequence.kernel->tiles, segment * sequence.tokens() * 2 * p.head);
  for_each(pool, tasks, cost, [&](int64_t i, int worker) noexcept {
    Arena own(args.scratch + size_t(worker) * measure.used());
    const Work work(own, p, segment);
    const int64_t number = tasks - 1 - i;  // the last rows see most: they go first
    const int64_t first = number / p.kv_heads * segment;
    run_task({.args = args,
              .sequence = sequence,
              .work = work,
              .kv_head = number % p.kv_heads,
              .tiled = {.tiles = *sequence.kernel->tiles,
                        .shape = shape_of(p),
                        .buffers = work.buffers,
                        .rows = std::min(segment, rows - first),
                        .first_row = first,
                        .rows_per_token = group,
                        .past = sequence.past,
                        .window = p.window}});
  });
}

}  // namespace

bool tiles_are_faster(const AttentionTiles& tiles, const graph::GqaParams& p,
                      int64_t tokens) noexcept {
  // gqa_split makes up to most_split_blocks tasks of whatever there is.
  const bool enough = tile_cost(tiles, most_split_blocks) <= p.kv_heads * segments_of(p, tokens);
  return enough && tokens * group_of(p) >= tile_queries;
}

size_t gqa_tiled_scratch_bytes(const graph::GqaParams& params, const BatchShape& most,
                               int workers) noexcept {
  Arena arena;
  // A smaller step's segments are no longer than the longest step's.
  const int64_t segment = segment_rows(params, most.rows * group_of(params));
  for (int w = 0; w < workers; ++w) Work(arena, params, segment);
  return arena.used();
}

void gqa_tiled(const GqaArgs& args, hw::WorkerPool& pool) noexcept {
  for (const SequenceRows& sequence : args.sequences) run_sequence(args, sequence, pool);
}

}  // namespace ktx::ops
