// mla with k_b and v_b absorbed: all heads share the cache's rows as keys and values.
#include <algorithm>

#include "ops/arena.hpp"
#include "ops/attention/attend.hpp"
#include "ops/attention/mla_paths.hpp"
#include "ops/attention/project.hpp"
#include "ops/parallel.hpp"

namespace ktx::ops {
namespace {

constexpr int64_t tile_tokens = 32;  // tokens taken at a time, which bounds the scratch

/// Shared by all workers. A row is (token, head) of the tile: token * heads + head.
struct Shared {
  Shared(Arena& arena, const graph::MlaParams& p, int64_t tile) noexcept {
    const int64_t rows = tile * p.heads;
    const int64_t state_rows = std::max(rows + query_block, most_split_blocks * query_block);
    q = arena.take<float>(rows * (p.kv_lora + p.rope));
    state = {arena.take<float>(state_rows), arena.take<float>(state_rows),
             arena.take<float>(state_rows * p.kv_lora), p.kv_lora};
  }
  float* q;           // [rows, kv_lora + rope]
  AttendState state;  // [splits, rows in whole blocks]
};

struct Work {
  Work(Arena& arena, const graph::MlaParams& p, const PackedMatrix& k_b, const PackedMatrix& v_b,
       int64_t tile) noexcept
      : scores(arena.take<float>(query_block * key_block)),
        latents(arena.take<float>(tile * p.kv_lora)),
        prepared(arena.take<std::byte>(
            std::max(project_scratch_bytes(k_b, tile), project_scratch_bytes(v_b, tile)))) {}
  float* scores;
  float* latents;  // [tile, kv_lora]
  std::byte* prepared;
  int node = 0;  // of the worker
};

/// One tile of tokens and how it is cut.
struct Tile {
  Tile(const MlaArgs& args, int64_t begin) noexcept : first(begin) {
    tokens = std::min(tile_tokens, args.tokens - begin);
    past = args.past + begin;
    rows = tokens * args.params->heads;
    blocks = (rows + query_block - 1) / query_block;
    splits = key_splits(blocks, past + tokens);
    const int64_t share = (past + tokens + splits - 1) / splits;
    keys_each = (share + key_block - 1) / key_block * key_block;
  }
  int64_t first, tokens, past;  // past: position of the tile's first token
  int64_t rows, blocks;
  int64_t splits, keys_each;
};

/// Queries of one head into the latents' space.
void absorb_queries(const MlaArgs& args, const Tile& tile, const Shared& shared, const Work& work,
                    int64_t head) noexcept {
  const graph::MlaParams& p = *args.params;
  const int64_t width = p.kv_lora + p.rope;
  const float* q = args.q + tile.first * args.q_stride + head * (p.nope + p.rope);
  float* out = shared.q + head * width;
  project({.matrix = &args.k_b[head],
           .x = q,
           .x_stride = args.q_stride,
           .tokens = tile.tokens,
           .y = out,
           .y_stride = p.heads * width,
           .scratch = work.prepared,
           .node = work.node});
  for (int64_t t = 0; t < tile.tokens; ++t) {
    float* rotated = out + t * p.heads * width + p.kv_lora;
    std::copy_n(q + t * args.q_stride + p.nope, p.rope, rotated);
    args.rope->rotate(rotated, tile.past + t);
  }
}

void attend_task(const MlaArgs& args, const Tile& tile, const Shared& shared, const Work& work,
                 int64_t task) noexcept {
  const graph::MlaParams& p = *args.params;
  const int64_t split = task / tile.blocks, row = task % tile.blocks * query_block;
  const int64_t state_row = split * tile.blocks * query_block + row;
  AttendArgs a;
  a.functions = args.kernel->functions;
  a.key_stride = a.value_stride = a.key_dim = a.q_stride = p.kv_lora + p.rope;
  a.value_dim = p.kv_lora;
  a.q = shared.q + row * a.q_stride;
  a.rows = std::min(query_block, tile.rows - row);
  a.first_row = row;
  a.rows_per_token = p.heads;
  a.past = tile.past;
  a.key_begin = split * tile.keys_each;
  a.key_end = std::min(tile.past + tile.tokens, a.key_begin + tile.keys_each);
  a.keys = a.values = args.cache + a.key_begin * a.key_stride;
  a.scale = p.scale;
  a.scores = work.scores;
  a.state = {shared.state.max + state_row, shared.state.sum + state_row,
             shared.state.values + state_row * p.kv_lora, p.kv_lora};
  clear(a.state, a.rows, a.value_dim);
  attend(a);
}

/// Weighted latents of one head into its values.
void absorb_values(const MlaArgs& args, const Tile& tile, const Shared& shared, const Work& work,
                   int64_t head) noexcept {
  const graph::MlaParams& p = *args.params;
  for (int64_t t = 0; t < tile.tokens; ++t) {
    merge({.state = shared.state,
           .row = t * p.heads + head,
           .parts = tile.splits,
           .part_stride = tile.blocks * query_block,
           .value_dim = p.kv_lora,
           .out = work.latents + t * p.kv_lora});
  }
  project({.matrix = &args.v_b[head],
           .x = work.latents,
           .x_stride = p.kv_lora,
           .tokens = tile.tokens,
           .y = args.out + tile.first * args.out_stride + head * p.v,
           .y_stride = args.out_stride,
           .scratch = work.prepared,
           .node = work.node});
}

void run_tile(const MlaArgs& args, const Tile& tile, std::byte* scratch,
              hw::WorkerPool& pool) noexcept {
  const graph::MlaParams& p = *args.params;
  Arena arena(scratch);
  const Shared shared(arena, p, tile.tokens);
  Arena measure;
  Work(measure, p, *args.k_b, *args.v_b, tile.tokens);
  auto work_of = [&](int worker) noexcept {
    Arena own(scratch + arena.used() + size_t(worker) * measure.used());
    Work work(own, p, *args.k_b, *args.v_b, tile.tokens);
    work.node = pool.node_of(worker);
    return work;
  };
  const int64_t row_cost = int64_t(p.kv_lora) * (2 * p.kv_lora + p.rope);
  for_each(pool, p.heads, tile.tokens * p.kv_lora * p.nope, [&](int64_t head, int worker) noexcept {
    absorb_queries(args, tile, shared, work_of(worker), head);
  });
  const int64_t block_cost =
      std::min(tile.rows, query_block) * tile.keys_each * (row_cost / p.kv_lora);
  const int64_t tasks = tile.blocks * tile.splits;
  for_each(pool, tasks, block_cost, [&](int64_t i, int worker) noexcept {
    attend_task(args, tile, shared, work_of(worker), tasks - 1 - i);
  });
  for_each(pool, p.heads, tile.tokens * p.kv_lora * (p.v + tile.splits),
           [&](int64_t head, int worker) noexcept {
             absorb_values(args, tile, shared, work_of(worker), head);
           });
}

}  // namespace

size_t mla_absorbed_scratch_bytes(const graph::MlaParams& params, const PackedMatrix& k_b,
                                  const PackedMatrix& v_b, int64_t max_tokens,
                                  int workers) noexcept {
  Arena arena;
  const int64_t tile = std::min(tile_tokens, max_tokens);
  Shared(arena, params, tile);
  for (int w = 0; w < workers; ++w) Work(arena, params, k_b, v_b, tile);
  return arena.used();
}

void mla_absorbed(const MlaArgs& args, hw::WorkerPool& pool) noexcept {
  for (int64_t begin = 0; begin < args.tokens; begin += tile_tokens) {
    run_tile(args, Tile(args, begin), args.scratch, pool);
  }
}

}  // namespace ktx::ops
