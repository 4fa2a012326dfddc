// gqa by the f32 loops: rows of the heads that share a key head, over ranges of keys.
#include <algorithm>

#include "ops/arena.hpp"
#include "ops/attention/attend.hpp"
#include "ops/attention/gqa_paths.hpp"
#include "ops/parallel.hpp"

namespace ktx::ops {
namespace {

/// What one worker needs for one block of rows.
struct Work {
  Work(Arena& arena, int64_t head) noexcept
      : q(arena.take<float>(query_block * head)),
        scores(arena.take<float>(query_block * key_block)),
        state{arena.take<float>(query_block), arena.take<float>(query_block),
              arena.take<float>(query_block * head), head} {}
  float* q;
  float* scores;
  AttendState state;
};

/// How the step is cut: tasks are (key head, block of rows, range of keys).
struct Cut {
  explicit Cut(const GqaArgs& args) noexcept {
    group = args.params->heads / args.params->kv_heads;
    rows = args.tokens * group;
    blocks = (rows + query_block - 1) / query_block;
    const int64_t window = args.params->window;
    const int64_t end = args.past + args.tokens;
    keys_begin = window > 0 ? std::max<int64_t>(0, args.past + 1 - window) : 0;
    keys_begin = keys_begin / key_block * key_block;
    splits = key_splits(blocks * args.params->kv_heads, end - keys_begin);
    const int64_t share = (end - keys_begin + splits - 1) / splits;
    keys_each = (share + key_block - 1) / key_block * key_block;
  }
  int64_t group, rows, blocks;
  int64_t keys_begin, splits, keys_each;
};

/// One task: a block of rows of a key head over one range of keys.
struct Task {
  int64_t kv_head, block, split;
  int64_t row, rows;  // of the key head's cut.rows
};

Task task_at(const Cut& cut, int64_t i) noexcept {
  Task task{i / cut.splits / cut.blocks, i / cut.splits % cut.blocks, i % cut.splits, 0, 0};
  task.row = task.block * query_block;
  task.rows = std::min(query_block, cut.rows - task.row);
  return task;
}

void attend_task(const GqaArgs& args, const Cut& cut, const Task& task, const Work& work,
                 const AttendState& state) noexcept {
  const graph::GqaParams& p = *args.params;
  for (int64_t r = 0; r < task.rows; ++r) {
    const int64_t token = (task.row + r) / cut.group;
    const int64_t head = task.kv_head * cut.group + (task.row + r) % cut.group;
    std::copy_n(args.q + token * args.q_stride + head * p.head, p.head, work.q + r * p.head);
    args.rope->rotate(work.q + r * p.head, args.past + token);
  }
  clear(state, task.rows, p.head);
  AttendArgs a;
  a.functions = args.kernel->functions;
  a.q = work.q;
  a.q_stride = p.head;
  a.rows = task.rows;
  a.first_row = task.row;
  a.rows_per_token = cut.group;
  a.past = args.past;
  a.window = p.window;
  a.key_begin = cut.keys_begin + task.split * cut.keys_each;
  a.key_end = std::min(args.past + args.tokens, a.key_begin + cut.keys_each);
  a.key_stride = a.value_stride = int64_t(p.kv_heads) * p.head;
  a.keys = args.k_cache + a.key_begin * a.key_stride + task.kv_head * p.head;
  a.values = args.v_cache + a.key_begin * a.key_stride + task.kv_head * p.head;
  a.key_dim = a.value_dim = p.head;
  a.scale = p.scale;
  a.scores = work.scores;
  a.state = state;
  attend(a);
}

float* out_row(const GqaArgs& args, const Cut& cut, int64_t kv_head, int64_t row) noexcept {
  const int64_t head = kv_head * cut.group + row % cut.group;
  return args.out + row / cut.group * args.out_stride + head * args.params->head;
}

/// The states of all parts when keys are split: [kv_heads * blocks, splits, query_block].
AttendState parts(Arena& arena, int64_t head) noexcept {
  constexpr int64_t rows = most_split_blocks * query_block;
  return {arena.take<float>(rows), arena.take<float>(rows), arena.take<float>(rows * head), head};
}

AttendState state_at(const AttendState& state, int64_t row) noexcept {
  return {state.max + row, state.sum + row, state.values + row * state.stride, state.stride};
}

}  // namespace

size_t gqa_split_scratch_bytes(const graph::GqaParams& params, int workers) noexcept {
  Arena arena;
  parts(arena, params.head);
  for (int w = 0; w < workers; ++w) Work(arena, params.head);
  return arena.used();
}

void gqa_split(const GqaArgs& args, hw::WorkerPool& pool) noexcept {
  const graph::GqaParams& p = *args.params;
  const Cut cut(args);
  Arena shared(args.scratch);
  const AttendState split_states = parts(shared, p.head);
  Arena measure;
  Work(measure, p.head);
  std::byte* const work_block = args.scratch + shared.used();

  const int64_t tasks = p.kv_heads * cut.blocks * cut.splits;
  const int64_t cost = std::min(cut.rows, query_block) * cut.keys_each * 2 * p.head;
  for_each(pool, tasks, cost, [&](int64_t i, int worker) noexcept {
    const int64_t number = tasks - 1 - i;  // the last rows see most: they go first
    const Task task = task_at(cut, number);
    Arena arena(work_block + size_t(worker) * measure.used());
    const Work work(arena, p.head);
    if (cut.splits > 1) {
      attend_task(args, cut, task, work, state_at(split_states, number * query_block));
      return;
    }
    attend_task(args, cut, task, work, work.state);
    for (int64_t r = 0; r < task.rows; ++r) {
      merge({.state = work.state,
             .row = r,
             .value_dim = p.head,
             .out = out_row(args, cut, task.kv_head, task.row + r)});
    }
  });
  if (cut.splits == 1) return;
  for_each(pool, p.kv_heads * cut.rows, 2 * cut.splits * p.head, [&](int64_t i, int) noexcept {
    const int64_t kv_head = i / cut.rows, row = i % cut.rows;
    const int64_t block = kv_head * cut.blocks + row / query_block;
    merge({.state = split_states,
           .row = block * cut.splits * query_block + row % query_block,
           .parts = cut.splits,
           .part_stride = query_block,
           .value_dim = p.head,
           .out = out_row(args, cut, kv_head, row)});
  });
}

}  // namespace ktx::ops
