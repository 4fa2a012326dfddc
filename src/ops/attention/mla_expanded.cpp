// mla with keys and values expanded from the latents, a head and a tile of keys at a time.
#include <algorithm>

#include "ops/arena.hpp"
#include "ops/attention/attend.hpp"
#include "ops/attention/mla_paths.hpp"
#include "ops/attention/project.hpp"
#include "ops/matmul/unpack.hpp"
#include "ops/parallel.hpp"

namespace ktx::ops {
namespace {

constexpr int64_t key_tile = 512;  // keys expanded at a time: they stay in the cache's 2nd level

/// What one worker needs for one task.
struct Work {
  Work(Arena& arena, const graph::MlaParams& p, const PackedMatrix& v_b, int64_t segment) noexcept
      : k_b(arena.take<float>(int64_t(p.kv_lora) * p.nope)),
        page(arena.take<float>(key_block * (p.kv_lora + p.rope))),
        keys(arena.take<float>(key_tile * (p.nope + p.rope))),
        values(arena.take<float>(key_tile * p.v)),
        q(arena.take<float>(query_block * (p.nope + p.rope))),
        scores(arena.take<float>(query_block * key_block)),
        state{arena.take<float>(segment), arena.take<float>(segment),
              arena.take<float>(segment * p.v), p.v},
        prepared(arena.take<std::byte>(project_scratch_bytes(v_b, key_block))) {}
  float* k_b;     // [kv_lora, nope]
  float* page;    // [key_block, kv_lora + rope]
  float* keys;    // [key_tile, nope + rope]
  float* values;  // [key_tile, v]
  float* q;       // [query_block, nope + rope]
  float* scores;
  AttendState state;  // of the segment's tokens
  std::byte* prepared;
  int node = 0;  // of the worker
};

/// A head's attention for tokens [first, first + tokens) of a sequence's rows.
struct Task {
  const MlaArgs& args;
  const SequenceRows& sequence;
  int64_t head, first, tokens;

  const graph::MlaParams& params() const noexcept { return *args.params; }
};

/// Keys and values of the head for the tokens of a page at [begin, end), into those of their tile,
/// from row `at` of it on.
void expand_page(const Task& task, int64_t begin, int64_t end, int64_t at,
                 const Work& work) noexcept {
  const graph::MlaParams& p = task.params();
  const f32::Functions& functions = *task.sequence.kernel->functions;
  const FloatRows rows = read_rows({.cache = &task.args.cache,
                                    .functions = &functions,
                                    .page = task.sequence.pages[begin / key_block],
                                    .tokens = end - begin,
                                    .numbers = p.kv_lora + p.rope,
                                    .scratch = work.page});
  const int64_t key_dim = p.nope + p.rope;
  float* keys = work.keys + at * key_dim;
  functions.accumulate({.a = rows.data,
                        .a_stride = rows.stride,
                        .b = work.k_b,
                        .b_stride = p.nope,
                        .c = keys,
                        .c_stride = key_dim,
                        .m = end - begin,
                        .n = p.nope,
                        .k = p.kv_lora});
  for (int64_t s = 0; s < end - begin; ++s)
    std::copy_n(rows.data + s * rows.stride + p.kv_lora, p.rope, keys + s * key_dim + p.nope);
  project({.matrix = &task.args.v_b[task.head],
           .x = rows.data,
           .x_stride = rows.stride,
           .tokens = end - begin,
           .y = work.values + at * p.v,
           .y_stride = p.v,
           .scratch = work.prepared,
           .node = work.node});
}

/// A block of the task's queries, from `row` of it on, over the expanded keys at [begin, end).
void attend_block(const Task& task, int64_t row, int64_t begin, int64_t end,
                  const Work& work) noexcept {
  const graph::MlaParams& p = task.params();
  AttendArgs a;
  a.functions = task.sequence.kernel->functions;
  a.q = work.q;
  a.q_stride = a.key_stride = a.key_dim = p.nope + p.rope;
  a.rows = std::min(query_block, task.tokens - row);
  a.first_row = task.first + row;
  a.past = task.sequence.past;
  a.keys = work.keys;
  a.values = work.values;
  a.value_stride = a.value_dim = p.v;
  a.key_begin = begin;
  a.key_end = end;
  a.scale = p.scale;
  a.scores = work.scores;
  a.state = {work.state.max + row, work.state.sum + row, work.state.values + row * p.v, p.v};
  for (int64_t r = 0; r < a.rows; ++r) {
    const int64_t i = a.first_row + r;
    float* q = work.q + r * a.q_stride;
    std::copy_n(
        task.args.q + (task.sequence.first_row + i) * task.args.q_stride + task.head * a.q_stride,
        a.q_stride, q);
    task.args.rope->rotate(q + p.nope, a.past + i);
  }
  attend(a);
}

void run_task(const Task& task, const Work& work) noexcept {
  const graph::MlaParams& p = task.params();
  const int64_t first_position = task.sequence.past + task.first;
  const int64_t last = first_position + task.tokens;
  clear(work.state, task.tokens);
  unpack_rows({.matrix = &task.args.k_b[task.head],
               .row_end = p.kv_lora,
               .node = work.node,
               .out = work.k_b});
  for (int64_t begin = 0; begin < last; begin += key_tile) {
    const int64_t end = std::min(last, begin + key_tile);
    for (int64_t page = begin; page < end; page += key_block)
      expand_page(task, page, std::min(end, page + key_block), page - begin, work);
    const int64_t first = std::max<int64_t>(0, begin - first_position);
    for (int64_t row = first / query_block * query_block; row < task.tokens; row += query_block)
      attend_block(task, row, begin, end, work);
  }
  for (int64_t t = 0; t < task.tokens; ++t) {
    const int64_t row = task.sequence.first_row + task.first + t;
    merge({.functions = task.sequence.kernel->functions,
           .state = work.state,
           .row = t,
           .value_dim = p.v,
           .out = task.args.out + row * task.args.out_stride + task.head * p.v});
  }
}

void run_sequence(const MlaArgs& args, const SequenceRows& sequence,
                  hw::WorkerPool& pool) noexcept {
  const graph::MlaParams& p = *args.params;
  const int64_t segment = segment_tokens(p, sequence.rows);
  const int64_t segments = (sequence.rows + segment - 1) / segment;
  Arena measure;
  Work(measure, p, *args.v_b, segment);
  const int64_t pairs = sequence.rows * (sequence.past + (sequence.rows + 1) / 2);
  const int64_t cost =
      pairs / segments * (p.nope + p.rope + p.v) + sequence.tokens() * p.kv_lora * (p.nope + p.v);
  const int64_t tasks = p.heads * segments;
  for_each(pool, tasks, cost, [&](int64_t i, int worker) noexcept {
    Arena own(args.scratch + size_t(worker) * measure.used());
    Work work(own, p, *args.v_b, segment);
    work.node = pool.node_of(worker);
    const int64_t number = tasks - 1 - i;  // the last tokens see most: they go first
    const int64_t first = number / p.heads * segment;
    run_task({.args = args,
              .sequence = sequence,
              .head = number % p.heads,
              .first = first,
              .tokens = std::min(segment, sequence.rows - first)},
             work);
  });
}

}  // namespace

size_t mla_expanded_scratch_bytes(const graph::MlaParams& params, const PackedMatrix&,
                                  const PackedMatrix& v_b, const BatchShape& most,
                                  int workers) noexcept {
  Arena arena;
  // A smaller step's segments are no longer than the longest step's.
  for (int w = 0; w < workers; ++w) Work(arena, params, v_b, segment_tokens(params, most.rows));
  return arena.used();
}

void mla_expanded(const MlaArgs& args, hw::WorkerPool& pool) noexcept {
  for (const SequenceRows& sequence : args.sequences) run_sequence(args, sequence, pool);
}

}  // namespace ktx::ops
