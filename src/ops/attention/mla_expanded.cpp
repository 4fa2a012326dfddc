// mla with keys and values expanded from the latents, a head and a tile of keys at a time.
#include <algorithm>

#include "ops/arena.hpp"
#include "ops/attention/attend.hpp"
#include "ops/attention/mla_paths.hpp"
#include "ops/attention/project.hpp"
#include "ops/attention/unit_vectors.hpp"
#include "ops/parallel.hpp"

namespace ktx::ops {
namespace {

constexpr int64_t key_tile = 512;  // keys expanded at a time: they stay in the cache's 2nd level

/// What one worker needs for one task.
struct Work {
  Work(Arena& arena, const graph::MlaParams& p, const PackedMatrix& k_b, const PackedMatrix& v_b,
       int64_t segment) noexcept
      : k_rows(arena.take<float>(int64_t(p.nope) * p.kv_lora)),
        keys(arena.take<float>(key_tile * (p.nope + p.rope))),
        values(arena.take<float>(key_tile * p.v)),
        q(arena.take<float>(query_block * (p.nope + p.rope))),
        scores(arena.take<float>(query_block * key_block)),
        state{arena.take<float>(segment), arena.take<float>(segment),
              arena.take<float>(segment * p.v), p.v},
        prepared(arena.take<std::byte>(
            std::max(project_scratch_bytes(k_b, p.nope), project_scratch_bytes(v_b, key_tile)))) {}
  float* k_rows;  // k_b transposed, [nope, kv_lora]
  float* keys;    // [key_tile, nope + rope]
  float* values;  // [key_tile, v]
  float* q;       // [query_block, nope + rope]
  float* scores;
  AttendState state;  // of the segment's tokens
  std::byte* prepared;
  int node = 0;  // of the worker
};

struct Task {
  int64_t head;
  int64_t first, tokens;  // of the step
};

/// k_b transposed: what its kernel makes of the unit vectors, whatever its layout is.
void transpose_k_b(const MlaArgs& args, const UnitVectors& units, int64_t head,
                   const Work& work) noexcept {
  const graph::MlaParams& p = *args.params;
  project({.matrix = &args.k_b[head],
           .x = units.first(),
           .x_stride = UnitVectors::stride,
           .tokens = units.size,
           .y = work.k_rows,
           .y_stride = p.kv_lora,
           .scratch = work.prepared,
           .node = work.node});
}

/// Keys and values of one head at positions [begin, end).
void expand(const MlaArgs& args, int64_t head, int64_t begin, int64_t end,
            const Work& work) noexcept {
  const graph::MlaParams& p = *args.params;
  const int64_t width = p.kv_lora + p.rope, key_dim = p.nope + p.rope;
  const float* latents = args.cache + begin * width;
  f32::DotsArgs dots;
  dots.a = latents;
  dots.a_stride = width;
  dots.b = work.k_rows;
  dots.b_stride = p.kv_lora;
  dots.c = work.keys;
  dots.c_stride = key_dim;
  dots.m = end - begin;
  dots.n = p.nope;
  dots.k = p.kv_lora;
  args.kernel->functions->dots(dots);
  for (int64_t s = 0; s < end - begin; ++s) {
    std::copy_n(latents + s * width + p.kv_lora, p.rope, work.keys + s * key_dim + p.nope);
  }
  project({.matrix = &args.v_b[head],
           .x = latents,
           .x_stride = width,
           .tokens = end - begin,
           .y = work.values,
           .y_stride = p.v,
           .scratch = work.prepared,
           .node = work.node});
}

/// A block of the task's queries, from `row` of it on, over the expanded keys at [begin, end).
void attend_block(const MlaArgs& args, const Task& task, int64_t row, int64_t begin, int64_t end,
                  const Work& work) noexcept {
  const graph::MlaParams& p = *args.params;
  AttendArgs a;
  a.functions = args.kernel->functions;
  a.q = work.q;
  a.q_stride = a.key_stride = a.key_dim = p.nope + p.rope;
  a.rows = std::min(query_block, task.tokens - row);
  a.first_row = task.first + row;
  a.past = args.past;
  a.keys = work.keys;
  a.values = work.values;
  a.value_stride = a.value_dim = p.v;
  a.key_begin = begin;
  a.key_end = end;
  a.scale = p.scale;
  a.scores = work.scores;
  a.state = {work.state.max + row, work.state.sum + row, work.state.values + row * p.v, p.v};
  for (int64_t r = 0; r < a.rows; ++r) {
    const int64_t token = a.first_row + r;
    float* q = work.q + r * a.q_stride;
    std::copy_n(args.q + token * args.q_stride + task.head * a.q_stride, a.q_stride, q);
    args.rope->rotate(q + p.nope, args.past + token);
  }
  attend(a);
}

void run_task(const MlaArgs& args, const UnitVectors& units, const Task& task,
              const Work& work) noexcept {
  const graph::MlaParams& p = *args.params;
  const int64_t last = args.past + task.first + task.tokens;
  clear(work.state, task.tokens, p.v);
  transpose_k_b(args, units, task.head, work);
  for (int64_t begin = 0; begin < last; begin += key_tile) {
    const int64_t end = std::min(last, begin + key_tile);
    expand(args, task.head, begin, end, work);
    const int64_t first = std::max<int64_t>(0, begin - args.past - task.first);
    for (int64_t row = first / query_block * query_block; row < task.tokens; row += query_block) {
      attend_block(args, task, row, begin, end, work);
    }
  }
  for (int64_t t = 0; t < task.tokens; ++t) {
    merge({.state = work.state,
           .row = t,
           .value_dim = p.v,
           .out = args.out + (task.first + t) * args.out_stride + task.head * p.v});
  }
}

}  // namespace

size_t mla_expanded_scratch_bytes(const graph::MlaParams& params, const PackedMatrix& k_b,
                                  const PackedMatrix& v_b, int64_t max_tokens,
                                  int workers) noexcept {
  Arena arena;
  UnitVectors(arena, params.nope);
  // A smaller step's segments are no longer than the longest step's.
  for (int w = 0; w < workers; ++w) {
    Work(arena, params, k_b, v_b, segment_tokens(params, max_tokens));
  }
  return arena.used();
}

void mla_expanded(const MlaArgs& args, hw::WorkerPool& pool) noexcept {
  const graph::MlaParams& p = *args.params;
  const int64_t segment = segment_tokens(p, args.tokens);
  const int64_t segments = (args.tokens + segment - 1) / segment;
  Arena arena(args.scratch), measure;
  UnitVectors units(arena, p.nope);
  units.fill();
  Work(measure, p, *args.k_b, *args.v_b, segment);
  const int64_t pairs = args.tokens * (args.past + (args.tokens + 1) / 2);
  const int64_t cost = pairs / segments * (p.nope + p.rope + p.v) +
                       (args.past + args.tokens) * p.kv_lora * (p.nope + p.v);
  const int64_t tasks = p.heads * segments;
  for_each(pool, tasks, cost, [&](int64_t i, int worker) noexcept {
    Arena own(args.scratch + arena.used() + size_t(worker) * measure.used());
    Work work(own, p, *args.k_b, *args.v_b, segment);
    work.node = pool.node_of(worker);
    const int64_t number = tasks - 1 - i;  // the last tokens see most: they go first
    const int64_t first = number / p.heads * segment;
    run_task(args, units, {number % p.heads, first, std::min(segment, args.tokens - first)}, work);
  });
}

}  // namespace ktx::ops
