// mla on tiles: keys and values expanded from the latents, a head and a tile of keys at a time.
#include <algorithm>

#include "ops/arena.hpp"
#include "ops/attention/mla_paths.hpp"
#include "ops/attention/tiled.hpp"
#include "ops/matmul/unpack.hpp"
#include "ops/parallel.hpp"

namespace ktx::ops {
namespace {

/// Sizes in squares.
struct Shape {
  explicit Shape(const graph::MlaParams& p) noexcept
      : lora(squares_of(p.kv_lora)),
        nope(squares_of(p.nope)),
        tiled{nope + squares_of(p.rope), squares_of(p.v)} {}
  int64_t lora_bytes() const noexcept { return lora * square_bytes; }

  int64_t lora, nope;
  TiledShape tiled;  // a key is its nope numbers, then its rope numbers
};

/// What one worker needs for one task.
struct Work {
  Work(Arena& arena, const graph::MlaParams& p, int64_t segment) noexcept
      : shape(p),
        k_b(arena.take<uint8_t>(shape.nope * shape.lora_bytes())),
        v_b(arena.take<uint8_t>(shape.tiled.value_panels * shape.lora_bytes())),
        rows(arena.take<float>(std::max(int64_t(p.kv_lora) * std::max(p.nope, p.v),
                                        square_side * (p.kv_lora + p.rope)))),
        latents(arena.take<uint8_t>(shape.lora_bytes())),
        buffers(arena, shape.tiled, segment) {}
  Shape shape;
  uint8_t *k_b, *v_b;  // right panels, k = the latents' numbers
  float* rows;         // what is to be packed: a matrix, ropes of queries, or rows of the cache
  uint8_t* latents;    // left panel of 32 keys
  TiledBuffers buffers;
};

struct Task {
  const MlaArgs& args;
  const SequenceRows& sequence;
  const Work& work;
  int64_t head;
  int node;  // of the worker
  TiledTask tiled;

  const graph::MlaParams& params() const noexcept { return *args.params; }
  int64_t batch_row(int64_t row) const noexcept {
    return sequence.first_row + tiled.first_row + row;
  }
};

/// Right panels of one of the head's matrices, k = kv_lora.
void pack_matrix(const Task& task, const PackedMatrix& matrix, Direction k,
                 uint8_t* panels) noexcept {
  unpack_rows(
      {.matrix = &matrix, .row_end = matrix.rows, .node = task.node, .out = task.work.rows});
  task.tiled.tiles.pack({.x = task.work.rows,
                         .stride = matrix.cols,
                         .rows = matrix.rows,
                         .cols = matrix.cols,
                         .k = k,
                         .side = Side::right,
                         .panels = panels,
                         .panel_bytes = task.work.shape.lora_bytes()});
}

void fetch(const float* x, int64_t count) noexcept {
  constexpr int64_t line = 16;
  for (int64_t i = 0; i < count; i += line) __builtin_prefetch(x + i);
}

/// Fetches the panel after each: a head's numbers lie so far apart from row to row that the CPU
/// doesn't foresee them.
void pack_queries(const Task& task) noexcept {
  const graph::MlaParams& p = task.params();
  const int64_t key_dim = p.nope + p.rope;
  const auto query = [&](int64_t row) noexcept {
    return task.args.q + task.batch_row(row) * task.args.q_stride + task.head * key_dim;
  };
  for_query_panels(task.tiled, [&](int64_t panel, int64_t row, int64_t rows) noexcept {
    for (int64_t r = 0; r < rows; ++r) {
      float* rope = task.work.rows + r * p.rope;
      std::copy_n(query(row + r) + p.nope, p.rope, rope);
      task.args.rope->rotate(rope, task.tiled.position_of(row + r));
      if (row + r + tile_queries < task.tiled.rows) fetch(query(row + r + tile_queries), key_dim);
    }
    PanelPackArgs pack{.x = query(row),
                       .stride = task.args.q_stride,
                       .rows = rows,
                       .cols = p.nope,
                       .k = Direction::along_rows,
                       .side = Side::right,
                       .scale = p.scale * log2_e,
                       .panels = task.work.buffers.queries + panel * task.tiled.query_panel_bytes(),
                       .panel_bytes = task.tiled.query_panel_bytes()};
    task.tiled.tiles.pack(pack);
    pack.x = task.work.rows;
    pack.stride = pack.cols = p.rope;
    pack.panels += task.work.shape.nope * square_bytes;
    task.tiled.tiles.pack(pack);
  });
}

/// Keys that lie in one page, to become left panels; bf16 is read where it is.
PanelPackArgs cache_rows(const Task& task, int64_t begin, int64_t keys) noexcept {
  const KvPages& cache = task.args.cache;
  PanelPackArgs rows{.rows = keys, .k = Direction::along_rows, .side = Side::left};
  if (cache.format == graph::KvFormat::bf16) {
    rows.bf16 = cache.row_of(task.sequence, begin);
    rows.stride = cache.row.numbers();
    return rows;
  }
  const FloatRows floats = read_rows({.cache = &cache,
                                      .functions = task.sequence.kernel->functions,
                                      .page = task.sequence.pages[begin / key_block],
                                      .token = begin % key_block,
                                      .tokens = keys,
                                      .numbers = cache.row.numbers(),
                                      .scratch = task.work.rows});
  rows.x = floats.data;
  rows.stride = floats.stride;
  return rows;
}

/// Packs their numbers [first, first + rows.cols).
void pack_numbers(const Task& task, PanelPackArgs rows, int64_t first) noexcept {
  if (rows.bf16 != nullptr)
    rows.bf16 += first * 2;
  else
    rows.x += first;
  task.tiled.tiles.pack(rows);
}

/// Keys and values of the head for a panel of keys: positions [begin, begin + keys), the panel-th
/// of their tile.
void expand_panel(const Task& task, int64_t panel, int64_t begin, int64_t keys) noexcept {
  const graph::MlaParams& p = task.params();
  const Work& work = task.work;
  const AttentionTiles& tiles = task.tiled.tiles;
  PanelPackArgs pack = cache_rows(task, begin, keys);
  pack.cols = p.kv_lora;
  pack.panels = work.latents;
  pack_numbers(task, pack, 0);
  ExpandArgs product{.left = work.latents,
                     .right = work.k_b,
                     .right_bytes = work.shape.lora_bytes(),
                     .panels = work.shape.nope,
                     .steps = work.shape.lora,
                     .k = Direction::along_rows,
                     .out = work.buffers.keys + panel * task.tiled.key_panel_bytes(),
                     .out_bytes = square_bytes};
  tiles.expand(product);
  pack.cols = p.rope;
  pack.panels = product.out + work.shape.nope * square_bytes;
  pack_numbers(task, pack, p.kv_lora);
  product.right = work.v_b;
  product.panels = work.shape.tiled.value_panels;
  product.k = Direction::across_rows;
  product.out = work.buffers.values + panel * square_bytes;
  product.out_bytes = TiledTask::value_panel_bytes;
  tiles.expand(product);
}

void run_task(const Task& task) noexcept {
  const graph::MlaParams& p = task.params();
  // Keys are latents times k_b, values latents times v_b transposed.
  pack_matrix(task, task.args.k_b[task.head], Direction::across_rows, task.work.k_b);
  pack_matrix(task, task.args.v_b[task.head], Direction::along_rows, task.work.v_b);
  pack_queries(task);
  attend_tiles(task.tiled, [&](const KeyRange& tile) noexcept {
    for (int64_t begin = tile.begin; begin < tile.end; begin += square_side)
      expand_panel(task, (begin - tile.begin) / square_side, begin,
                   std::min(square_side, tile.end - begin));
  });
  write(task.tiled, p.v, [&](int64_t row) noexcept {
    return task.args.out + task.batch_row(row) * task.args.out_stride + task.head * p.v;
  });
}

void run_sequence(const MlaArgs& args, const SequenceRows& sequence,
                  hw::WorkerPool& pool) noexcept {
  const graph::MlaParams& p = *args.params;
  const int64_t segment = segment_tokens(p, sequence.rows);
  const int64_t segments = (sequence.rows + segment - 1) / segment;
  Arena measure;
  Work(measure, p, segment);
  const int64_t cost =
      tile_cost(*sequence.kernel->tiles, sequence.tokens() * p.kv_lora * (p.nope + p.v));
  const int64_t tasks = p.heads * segments;
  for_each(pool, tasks, cost, [&](int64_t i, int worker) noexcept {
    Arena own(args.scratch + size_t(worker) * measure.used());
    const Work work(own, p, segment);
    const int64_t number = tasks - 1 - i;  // the last tokens see most: they go first
    const int64_t first = number / p.heads * segment;
    run_task({.args = args,
              .sequence = sequence,
              .work = work,
              .head = number % p.heads,
              .node = pool.node_of(worker),
              .tiled = {.tiles = *sequence.kernel->tiles,
                        .shape = work.shape.tiled,
                        .buffers = work.buffers,
                        .rows = std::min(segment, sequence.rows - first),
                        .first_row = first,
                        .past = sequence.past}});
  });
}

}  // namespace

size_t mla_tiled_scratch_bytes(const graph::MlaParams& params, const PackedMatrix&,
                               const PackedMatrix&, const BatchShape& most, int workers) noexcept {
  Arena arena;
  // A smaller step's segments are no longer than the longest step's.
  for (int w = 0; w < workers; ++w) Work(arena, params, segment_tokens(params, most.rows));
  return arena.used();
}

void mla_tiled(const MlaArgs& args, hw::WorkerPool& pool) noexcept {
  for (const SequenceRows& sequence : args.sequences) run_sequence(args, sequence, pool);
}

}  // namespace ktx::ops
