// gqa by the f32 loops: rows of the heads that share a key head, over ranges of keys.
//
// Sequences go in passes over the pool. How a sequence is cut into tasks depends on its own shape
// alone.
#include <algorithm>

#include "ops/arena.hpp"
#include "ops/attention/attend.hpp"
#include "ops/attention/gqa_paths.hpp"
#include "ops/parallel.hpp"

namespace ktx::ops {
namespace {

// What a pass takes, which bounds the scratch.
constexpr int64_t pass_sequences = 32;
constexpr int64_t most_split_rows = most_split_blocks * query_block;
constexpr int64_t most_pass_states = 8 * most_split_rows;

/// A sequence and how it is cut: tasks are (key head, block of rows, range of keys). A key head's
/// rows are (token, head of its group).
struct Piece {
  Piece() = default;
  Piece(const SequenceRows& of, const graph::GqaParams& p) noexcept
      : sequence(&of),
        kv_heads(p.kv_heads),
        group(p.heads / p.kv_heads),
        rows(of.rows * group),
        rows_each(std::min(rows, query_block)),
        blocks((rows + query_block - 1) / query_block),
        keys_begin(seen_from(of.past, p.window).begin / key_block * key_block) {
    const int64_t keys = of.tokens() - keys_begin;
    splits = key_splits(blocks * kv_heads, keys);
    const int64_t share = (keys + splits - 1) / splits;
    keys_each = (share + key_block - 1) / key_block * key_block;
  }
  int64_t tasks() const noexcept { return kv_heads * blocks * splits; }
  /// A task without splits keeps its state to itself.
  int64_t state_rows() const noexcept { return splits > 1 ? tasks() * rows_each : 0; }
  /// (row, key) of all tasks, or a little more.
  int64_t pairs() const noexcept { return tasks() * rows_each * keys_each; }
  /// Rows of all key heads whose states are to be merged.
  int64_t merges() const noexcept { return splits > 1 ? kv_heads * rows : 0; }

  const SequenceRows* sequence = nullptr;
  int64_t kv_heads = 0, group = 0;
  int64_t rows = 0, rows_each = 0, blocks = 0;  // of a key head
  int64_t keys_begin = 0, splits = 0, keys_each = 0;
  // Where the pass has its first task, state and row to be merged.
  int64_t task = 0, state_row = 0, merge = 0;
};

struct Pass {
  bool takes(const Piece& piece) const noexcept {
    return count == 0 ||
           (count < pass_sequences && state_rows + piece.state_rows() <= most_pass_states);
  }
  void add(Piece piece) noexcept {
    piece.task = tasks;
    piece.state_row = state_rows;
    piece.merge = merges;
    tasks += piece.tasks();
    state_rows += piece.state_rows();
    merges += piece.merges();
    pairs += piece.pairs();
    pieces[count++] = piece;
  }
  /// The piece whose `first` (task or merge) is the last up to `number`.
  const Piece& piece_of(int64_t Piece::*first, int64_t number) const noexcept {
    int64_t i = count - 1;
    while (pieces[i].*first > number) --i;
    return pieces[i];
  }

  Piece pieces[pass_sequences];
  int64_t count = 0, tasks = 0, state_rows = 0, merges = 0, pairs = 0;
};

/// What one worker needs for one block of rows.
struct Work {
  Work(Arena& arena, int64_t head) noexcept
      : q(arena.take<float>(query_block * head)),
        keys(arena.take<float>(key_block * head)),
        values(arena.take<float>(key_block * head)),
        scores(arena.take<float>(query_block * key_block)),
        state{arena.take<float>(query_block), arena.take<float>(query_block),
              arena.take<float>(query_block * head), head} {}
  float *q, *keys, *values;
  float* scores;
  AttendState state;
};

struct Task {
  Task(const Piece& of, int64_t number) noexcept
      : piece(of),
        kv_head(number / of.splits / of.blocks),
        split(number % of.splits),
        row(number / of.splits % of.blocks * query_block),
        rows(std::min(query_block, of.rows - row)) {}
  const Piece& piece;
  int64_t kv_head, split;
  int64_t row, rows;  // of the key head's
};

int64_t head_of(const Piece& piece, int64_t kv_head, int64_t row) noexcept {
  return kv_head * piece.group + row % piece.group;
}

/// The part of the task's range that its rows see, from the start of a page on.
KeyRange keys_of(const Task& task, int64_t window) noexcept {
  const Piece& piece = task.piece;
  const int64_t past = piece.sequence->past;
  const KeyRange first = seen_from(past + task.row / piece.group, window);
  const KeyRange last = seen_from(past + (task.row + task.rows - 1) / piece.group, window);
  const int64_t begin = piece.keys_begin + task.split * piece.keys_each;
  return {std::max(begin, first.begin / key_block * key_block),
          std::min(begin + piece.keys_each, last.end)};
}

void attend_task(const GqaArgs& args, const Task& task, const Work& work,
                 const AttendState& state) noexcept {
  const graph::GqaParams& p = *args.params;
  const SequenceRows& sequence = *task.piece.sequence;
  for (int64_t r = 0; r < task.rows; ++r) {
    const int64_t token = (task.row + r) / task.piece.group;
    const int64_t head = head_of(task.piece, task.kv_head, task.row + r);
    std::copy_n(args.q + (sequence.first_row + token) * args.q_stride + head * p.head, p.head,
                work.q + r * p.head);
    args.rope->rotate(work.q + r * p.head, sequence.past + token);
  }
  clear(state, task.rows);
  AttendArgs a;
  a.functions = sequence.kernel->functions;
  a.q = work.q;
  a.q_stride = p.head;
  a.rows = task.rows;
  a.first_row = task.row;
  a.rows_per_token = task.piece.group;
  a.past = sequence.past;
  a.window = p.window;
  a.key_dim = a.value_dim = p.head;
  a.scale = p.scale;
  a.scores = work.scores;
  a.state = state;
  const KeyRange keys = keys_of(task, p.window);
  for (a.key_begin = keys.begin; a.key_begin < keys.end; a.key_begin += key_block) {
    a.key_end = std::min(keys.end, a.key_begin + key_block);
    const HeadRows rows = read_head({.args = &args,
                                     .sequence = &sequence,
                                     .kv_head = task.kv_head,
                                     .begin = a.key_begin,
                                     .end = a.key_end,
                                     .keys = work.keys,
                                     .values = work.values});
    a.keys = rows.keys.data;
    a.key_stride = rows.keys.stride;
    a.values = rows.values.data;
    a.value_stride = rows.values.stride;
    attend(a);
  }
}

float* out_row(const GqaArgs& args, const Piece& piece, int64_t kv_head, int64_t row) noexcept {
  const int64_t batch_row = piece.sequence->first_row + row / piece.group;
  return args.out + batch_row * args.out_stride + head_of(piece, kv_head, row) * args.params->head;
}

/// The states of all tasks that share rows with others.
AttendState split_states(Arena& arena, int64_t rows, int64_t head) noexcept {
  return {arena.take<float>(rows), arena.take<float>(rows), arena.take<float>(rows * head), head};
}

AttendState state_at(const AttendState& state, int64_t row) noexcept {
  return {state.max + row, state.sum + row, state.values + row * state.stride, state.stride};
}

void run_task(const GqaArgs& args, const Task& task, const Work& work) noexcept {
  attend_task(args, task, work, work.state);
  for (int64_t r = 0; r < task.rows; ++r)
    merge({.functions = task.piece.sequence->kernel->functions,
           .state = work.state,
           .row = r,
           .value_dim = args.params->head,
           .out = out_row(args, task.piece, task.kv_head, task.row + r)});
}

/// Row `number` of the piece's, key head after key head.
void merge_row(const GqaArgs& args, const Piece& piece, const AttendState& states,
               int64_t number) noexcept {
  const int64_t kv_head = number / piece.rows, row = number % piece.rows;
  const int64_t first_task = (kv_head * piece.blocks + row / query_block) * piece.splits;
  merge({.functions = piece.sequence->kernel->functions,
         .state = states,
         .row = piece.state_row + first_task * piece.rows_each + row % query_block,
         .parts = piece.splits,
         .part_stride = piece.rows_each,
         .value_dim = args.params->head,
         .out = out_row(args, piece, kv_head, row)});
}

void run_pass(const GqaArgs& args, const Pass& pass, hw::WorkerPool& pool) noexcept {
  const int64_t head = args.params->head;
  Arena shared(args.scratch), measure;
  const AttendState states = split_states(shared, pass.state_rows, head);
  Work(measure, head);
  const int64_t cost = pass.pairs / pass.tasks * 2 * head;
  for_each(pool, pass.tasks, cost, [&](int64_t i, int worker) noexcept {
    const int64_t number = pass.tasks - 1 - i;  // the last rows see most: they go first
    const Piece& piece = pass.piece_of(&Piece::task, number);
    const int64_t own = number - piece.task;
    Arena arena(args.scratch + shared.used() + size_t(worker) * measure.used());
    const Work work(arena, head);
    if (piece.splits > 1)
      attend_task(args, {piece, own}, work,
                  state_at(states, piece.state_row + own * piece.rows_each));
    else
      run_task(args, {piece, own}, work);
  });
  for_each(pool, pass.merges, 2 * most_split_blocks * head, [&](int64_t i, int) noexcept {
    const Piece& piece = pass.piece_of(&Piece::merge, i);
    merge_row(args, piece, states, i - piece.merge);
  });
}

}  // namespace

size_t gqa_split_scratch_bytes(const graph::GqaParams& params, const BatchShape& most,
                               int workers) noexcept {
  Arena arena;
  split_states(arena, std::min(most_pass_states, most.sequences * most_split_rows), params.head);
  for (int w = 0; w < workers; ++w) Work(arena, params.head);
  return arena.used();
}

void gqa_split(const GqaArgs& args, hw::WorkerPool& pool) noexcept {
  Pass pass;
  for (const SequenceRows& sequence : args.sequences) {
    if (sequence.rows == 0) continue;
    const Piece piece(sequence, *args.params);
    if (!pass.takes(piece)) {
      run_pass(args, pass, pool);
      pass = {};
    }
    pass.add(piece);
  }
  if (pass.count > 0) run_pass(args, pass, pool);
}

}  // namespace ktx::ops
