// The common core of mla and gqa.
#include "ops/attention/attend.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace ktx::ops {
namespace {

constexpr float minus_infinity = -std::numeric_limits<float>::infinity();

/// The positions that a row sees.
KeyRange visible(const AttendArgs& args, int64_t row) noexcept {
  return seen_from(args.past + (args.first_row + row) / args.rows_per_token, args.window);
}

/// Scores of a row in a block of keys at [begin, begin + keys) become exp(score - largest); returns
/// by what the row's state so far is to be multiplied.
float soften(const AttendArgs& args, int64_t row, float* scores, int64_t begin,
             int64_t keys) noexcept {
  const KeyRange seen = visible(args, row);
  const int64_t from = std::clamp<int64_t>(seen.begin - begin, 0, keys);
  const int64_t to = std::clamp<int64_t>(seen.end - begin, from, keys);
  std::fill(scores, scores + from, 0.0f);
  std::fill(scores + to, scores + keys, 0.0f);
  if (from == to) return 1;
  float& max = args.state.max[row];
  float& sum = args.state.sum[row];
  const float larger = std::max(max, args.functions->max(scores + from, to - from));
  const float factor = larger == max ? 1.0f : std::exp(max - larger);
  max = larger;
  sum = sum * factor + args.functions->exp_sum(scores + from, to - from, larger);
  return factor;
}

/// Whether rows [row, end) have values; where only some have, the others get zeros. Mostly all have
/// or none has: then nothing is to be read, or to be cleared first.
bool define_values(const AttendArgs& args, int64_t row, int64_t end) noexcept {
  const AttendState& state = args.state;
  if (std::all_of(state.sum + row, state.sum + end, [](float sum) { return sum == 0; }))
    return false;
  for (int64_t r = row; r < end; ++r)
    if (state.sum[r] == 0) std::fill_n(state.values + r * state.stride, args.value_dim, 0.0f);
  return true;
}

/// Rows [row, end) all see some of the block at [begin, begin + keys), or nearly all of them.
void attend_block(const AttendArgs& args, int64_t row, int64_t end, int64_t begin,
                  int64_t keys) noexcept {
  f32::DotsArgs dots;
  dots.a = args.q + row * args.q_stride;
  dots.a_stride = args.q_stride;
  dots.b = args.keys + (begin - args.key_begin) * args.key_stride;
  dots.b_stride = args.key_stride;
  dots.c = args.scores;
  dots.c_stride = key_block;
  dots.m = end - row;
  dots.n = keys;
  dots.k = args.key_dim;
  dots.scale = args.scale;
  args.functions->dots(dots);
  const bool have_values = define_values(args, row, end);
  float factors[query_block];
  for (int64_t r = row; r < end; ++r) {
    factors[r - row] = soften(args, r, args.scores + (r - row) * key_block, begin, keys);
  }
  f32::AccumulateArgs sums;
  sums.a = args.scores;
  sums.a_stride = key_block;
  sums.b = args.values + (begin - args.key_begin) * args.value_stride;
  sums.b_stride = args.value_stride;
  sums.c = args.state.values + row * args.state.stride;
  sums.c_stride = args.state.stride;
  sums.c_scale = have_values ? factors : nullptr;
  sums.m = end - row;
  sums.n = args.value_dim;
  sums.k = keys;
  args.functions->accumulate(sums);
}

}  // namespace

void clear(const AttendState& state, int64_t rows) noexcept {
  std::fill_n(state.max, rows, minus_infinity);
  std::fill_n(state.sum, rows, 0.0f);
}

void attend(const AttendArgs& args) noexcept {
  // Rows come in order of position: what they see moves to later keys.
  const int64_t first = visible(args, 0).begin;
  const int64_t last = std::min(args.key_end, visible(args, args.rows - 1).end);
  int64_t row = 0, end = 0;
  for (int64_t begin = args.key_begin; begin < last; begin += key_block) {
    const int64_t keys = std::min(key_block, last - begin);
    if (begin + keys <= first) continue;
    while (row < args.rows && visible(args, row).end <= begin) ++row;
    while (end < args.rows && visible(args, end).begin < begin + keys) ++end;
    if (row < end) attend_block(args, row, end, begin, keys);
  }
}

void merge(const MergeArgs& args) noexcept {
  const AttendState& state = args.state;
  float max = minus_infinity;
  for (int64_t part = 0; part < args.parts; ++part) {
    max = std::max(max, state.max[args.row + part * args.part_stride]);
  }
  float factors[most_split_blocks];
  float sum = 0;
  for (int64_t part = 0; part < args.parts; ++part) {
    const int64_t row = args.row + part * args.part_stride;
    if (state.sum[row] == 0) std::fill_n(state.values + row * state.stride, args.value_dim, 0.0f);
    factors[part] = std::exp(state.max[row] - max);
    sum += factors[part] * state.sum[row];
  }
  for (int64_t part = 0; part < args.parts; ++part) factors[part] /= sum;
  args.functions->accumulate({.a = factors,
                              .b = state.values + args.row * state.stride,
                              .b_stride = args.part_stride * state.stride,
                              .c = args.out,
                              .m = 1,
                              .n = args.value_dim,
                              .k = args.parts});
}

int64_t key_splits(int64_t row_blocks, int64_t keys, int64_t least_keys) noexcept {
  const int64_t most = (keys + least_keys - 1) / least_keys;
  return std::clamp<int64_t>(most_split_blocks / row_blocks, 1, std::max<int64_t>(1, most));
}

}  // namespace ktx::ops
