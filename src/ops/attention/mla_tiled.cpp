// mla on tiles: keys and values expanded from the latents, a head and a tile of keys at a time.
#include <algorithm>

#include "ops/arena.hpp"
#include "ops/attention/mla_paths.hpp"
#include "ops/attention/project.hpp"
#include "ops/attention/tiled.hpp"
#include "ops/attention/unit_vectors.hpp"
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

/// Shared by all workers: unit vectors as the kernels of k_b and v_b read them.
struct Shared {
  Shared(Arena& arena, const graph::MlaParams& p, const PackedMatrix& k_b,
         const PackedMatrix& v_b) noexcept
      : nope(arena, p.nope),
        lora(arena, p.kv_lora),
        for_k_b(arena.take<std::byte>(project_scratch_bytes(k_b, p.nope))),
        for_v_b(arena.take<std::byte>(project_scratch_bytes(v_b, p.kv_lora))) {}
  UnitVectors nope, lora;
  std::byte *for_k_b, *for_v_b;
};

/// What one worker needs for one task.
struct Work {
  Work(Arena& arena, const graph::MlaParams& p, int64_t segment) noexcept
      : shape(p),
        k_b(arena.take<uint8_t>(shape.nope * shape.lora_bytes())),
        v_b(arena.take<uint8_t>(shape.tiled.value_panels * shape.lora_bytes())),
        rows(arena.take<float>(std::max(int64_t(p.kv_lora) * std::max(p.nope, p.v),
                                        tile_queries * (p.nope + p.rope)))),
        latents(arena.take<uint8_t>(shape.lora_bytes())),
        buffers(arena, shape.tiled, segment) {}
  Shape shape;
  uint8_t *k_b, *v_b;  // right panels, k = the latents' numbers
  float* rows;         // what is to be packed: a matrix, or queries
  uint8_t* latents;    // left panel of 32 keys
  TiledBuffers buffers;
};

struct Task {
  const MlaArgs& args;
  const Shared& shared;
  const Work& work;
  int64_t head;
  int node;  // of the worker
  TiledTask tiled;

  const graph::MlaParams& params() const noexcept { return *args.params; }
};

ProjectArgs project_args(const PackedMatrix& matrix, const UnitVectors& vectors,
                         std::byte* scratch) noexcept {
  return {.matrix = &matrix,
          .x = vectors.first(),
          .x_stride = UnitVectors::stride,
          .tokens = vectors.size,
          .scratch = scratch};
}

void prepare_unit_vectors(const MlaArgs& args, Shared& shared, hw::WorkerPool& pool) noexcept {
  shared.nope.fill();
  shared.lora.fill();
  const ProjectArgs k = project_args(*args.k_b, shared.nope, shared.for_k_b);
  const ProjectArgs v = project_args(*args.v_b, shared.lora, shared.for_v_b);
  const int64_t k_blocks = project_blocks(k.tokens), v_blocks = project_blocks(v.tokens);
  for_each(pool, k_blocks + v_blocks, 16 * v.tokens, [&](int64_t i, int) noexcept {
    i < k_blocks ? prepare_block(k, i) : prepare_block(v, i - k_blocks);
  });
}

/// A matrix's columns as floats, [cols, rows]: what its kernel makes of the unit vectors, whatever
/// its layout is.
void read_columns(const Task& task, ProjectArgs project) noexcept {
  project.y = task.work.rows;
  project.y_stride = project.matrix->rows;
  project.node = task.node;
  multiply_prepared(project);
}

/// Right panels of the head's matrices. Keys are latents times k_b, values latents times v_b
/// transposed.
void pack_matrices(const Task& task) noexcept {
  const graph::MlaParams& p = task.params();
  const Work& work = task.work;
  read_columns(task, project_args(task.args.k_b[task.head], task.shared.nope, task.shared.for_k_b));
  task.tiled.tiles.pack({.x = work.rows,
                         .stride = p.kv_lora,
                         .rows = p.nope,
                         .cols = p.kv_lora,
                         .k = Direction::along_rows,
                         .side = Side::right,
                         .panels = work.k_b,
                         .panel_bytes = work.shape.lora_bytes()});
  read_columns(task, project_args(task.args.v_b[task.head], task.shared.lora, task.shared.for_v_b));
  task.tiled.tiles.pack({.x = work.rows,
                         .stride = p.v,
                         .rows = p.kv_lora,
                         .cols = p.v,
                         .k = Direction::across_rows,
                         .side = Side::right,
                         .panels = work.v_b,
                         .panel_bytes = work.shape.lora_bytes()});
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
      const int64_t token = task.tiled.first_row + row + r;
      float* q = task.work.rows + r * key_dim;
      std::copy_n(task.args.q + token * task.args.q_stride + task.head * key_dim, key_dim, q);
      task.args.rope->rotate(q + p.nope, task.args.past + token);
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
  const int64_t width = p.kv_lora + p.rope;
  const float* rows = task.args.cache + begin * width;
  PanelPackArgs pack{.x = rows,
                     .stride = width,
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
  pack.x = rows + p.kv_lora;
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
  pack_matrices(task);
  pack_queries(task);
  attend_tiles(task.tiled, [&](const KeyRange& tile) noexcept {
    for (int64_t begin = tile.begin; begin < tile.end; begin += square_side)
      expand_panel(task, (begin - tile.begin) / square_side, begin,
                   std::min(square_side, tile.end - begin));
  });
  write(task.tiled, p.v, [&](int64_t row) noexcept {
    return task.args.out + (task.tiled.first_row + row) * task.args.out_stride + task.head * p.v;
  });
}

}  // namespace

size_t mla_tiled_scratch_bytes(const graph::MlaParams& params, const PackedMatrix& k_b,
                               const PackedMatrix& v_b, int64_t max_tokens, int workers) noexcept {
  Arena arena;
  Shared(arena, params, k_b, v_b);
  // A smaller step's segments are no longer than the longest step's.
  for (int w = 0; w < workers; ++w) Work(arena, params, segment_tokens(params, max_tokens));
  return arena.used();
}

void mla_tiled(const MlaArgs& args, hw::WorkerPool& pool) noexcept {
  const graph::MlaParams& p = *args.params;
  const int64_t segment = segment_tokens(p, args.tokens);
  const int64_t segments = (args.tokens + segment - 1) / segment;
  Arena arena(args.scratch), measure;
  Shared shared(arena, p, *args.k_b, *args.v_b);
  prepare_unit_vectors(args, shared, pool);
  Work(measure, p, segment);
  const int64_t cost = (args.past + args.tokens) * p.kv_lora * (p.nope + p.v) / tile_speed;
  const int64_t tasks = p.heads * segments;
  for_each(pool, tasks, cost, [&](int64_t i, int worker) noexcept {
    Arena own(args.scratch + arena.used() + size_t(worker) * measure.used());
    const Work work(own, p, segment);
    const int64_t number = tasks - 1 - i;  // the last tokens see most: they go first
    const int64_t first = number / p.heads * segment;
    run_task({.args = args,
              .shared = shared,
              .work = work,
              .head = number % p.heads,
              .node = pool.node_of(worker),
              .tiled = {.tiles = *args.kernel->tiles,
                        .shape = work.shape.tiled,
                        .buffers = work.buffers,
                        .rows = std::min(segment, args.tokens - first),
                        .first_row = first,
                        .past = args.past}});
  });
}

}  // namespace ktx::ops
