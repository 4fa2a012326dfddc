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
        rows(arena.take<float>(
            std::max({int64_t(p.kv_lora) * std::max(p.nope, p.v), tile_queries * (p.nope + p.rope),
                      square_side * (p.kv_lora + p.rope)}))),
        latents(arena.take<uint8_t>(shape.lora_bytes())),
        buffers(arena, shape.tiled, segment) {}
  Shape shape;
  uint8_t *k_b, *v_b;  // right panels, k = the latents' numbers
  float* rows;         // what is to be packed: a matrix, queries, or rows of the cache
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

/// Rows' numbers [0, nope) and then those of the rope to panels: both parts start a square.
void pack_parts(const Task& task, PanelPackArgs rows) noexcept {
  const graph::MlaParams& p = task.params();
  rows.cols = p.nope;
  task.tiled.tiles.pack(rows);
  rows.x += p.nope;
  rows.cols = p.rope;
  rows.panels += task.work.shape.nope * square_bytes;
  task.tiled.tiles.pack(rows);
}

void pack_queries(const Task& task) noexcept {
  const graph::MlaParams& p = task.params();
  const int64_t key_dim = p.nope + p.rope;
  for_query_panels(task.tiled, [&](int64_t panel, int64_t row, int64_t rows) noexcept {
    for (int64_t r = 0; r < rows; ++r) {
      float* q = task.work.rows + r * key_dim;
      std::copy_n(task.args.q + task.batch_row(row + r) * task.args.q_stride + task.head * key_dim,
                  key_dim, q);
      task.args.rope->rotate(q + p.nope, task.tiled.position_of(row + r));
    }
    pack_parts(task, {.x = task.work.rows,
                      .stride = key_dim,
                      .rows = rows,
                      .k = Direction::along_rows,
                      .side = Side::right,
                      .scale = p.scale * log2_e,
                      .panels = task.work.buffers.queries + panel * task.tiled.query_panel_bytes(),
                      .panel_bytes = task.tiled.query_panel_bytes()});
  });
}

/// Keys and values of the head for a panel of keys: positions [begin, begin + keys), the panel-th
/// of their tile.
void expand_panel(const Task& task, int64_t panel, int64_t begin, int64_t keys) noexcept {
  const graph::MlaParams& p = task.params();
  const Work& work = task.work;
  const AttentionTiles& tiles = task.tiled.tiles;
  const FloatRows rows = read_rows({.cache = &task.args.cache,
                                    .functions = task.sequence.kernel->functions,
                                    .page = task.sequence.pages[begin / key_block],
                                    .token = begin % key_block,
                                    .tokens = keys,
                                    .numbers = p.kv_lora + p.rope,
                                    .scratch = work.rows});
  PanelPackArgs pack{.x = rows.data,
                     .stride = rows.stride,
                     .rows = keys,
                     .cols = p.kv_lora,
                     .k = Direction::along_rows,
                     .side = Side::left,
                     .panels = work.latents,
                     .panel_bytes = work.shape.lora_bytes()};
  tiles.pack(pack);
  ExpandArgs product{.left = work.latents,
                     .right = work.k_b,
                     .right_bytes = work.shape.lora_bytes(),
                     .panels = work.shape.nope,
                     .steps = work.shape.lora,
                     .k = Direction::along_rows,
                     .out = work.buffers.keys + panel * task.tiled.key_panel_bytes(),
                     .out_bytes = square_bytes};
  tiles.expand(product);
  pack.x = rows.data + p.kv_lora;
  pack.cols = p.rope;
  pack.panels = product.out + work.shape.nope * square_bytes;
  tiles.pack(pack);
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
