// Groups of 16 rows with some tokens: how the kernels of integers and of floats walk a matrix.
//
// A kernel's innermost part, Group<T>::run(GroupArgs), keeps the sums of a group, or of several,
// with T tokens in registers.
#pragma once

#include "ops/matmul/simd/x86_unroll.hpp"
#include "ops/matmul/x16_args.hpp"

namespace ktx::ops {
namespace {

/// A vector of 32 bits of each row; where S has two vectors for 16 rows, the part-th of them.
template <class S>
[[gnu::always_inline]] inline const uint8_t* at(const uint8_t* base, int vector, int part) {
  return base + vector * 64 + part * S::lanes * 4;
}

struct GroupArgs {
  const uint8_t* group;
  int64_t group_bytes;
  const uint8_t* x[8];
  int64_t cols;
  int64_t scales, sums, half_sums;  // byte offsets in a row of x
  float* y;
  int64_t y_stride;
  int64_t rows;  // that exist; the last group may have fewer than 16
  // Bytes from the end of a group to what is read after it: what is fetched ahead of use.
  int64_t ahead_jump;
};

[[gnu::always_inline]] inline float float_at(const uint8_t* p) {
  float value;
  __builtin_memcpy(&value, p, sizeof(value));
  return value;
}

[[gnu::always_inline]] inline int int_at(const uint8_t* p) {
  int value;
  __builtin_memcpy(&value, p, sizeof(value));
  return value;
}

// Weights stream from memory: the hardware prefetcher stops at every page and starts anew with
// every matrix.
constexpr int64_t prefetch_distance = 4096;

/// p: in the g-th group.
template <int64_t Bytes>
[[gnu::always_inline]] inline void prefetch(const GroupArgs& a, const uint8_t* p, int g = 0) {
  const uint8_t* ahead = p + prefetch_distance;
  if (ahead >= a.group + (g + 1) * a.group_bytes) ahead += a.ahead_jump;
  unroll<0, static_cast<int>((Bytes + 63) / 64)>([&](auto i) __attribute__((always_inline)) {
    __builtin_prefetch(ahead + i * 64, 0, 3);
  });
}

template <class S>
[[gnu::always_inline]] inline void store_group(const GroupArgs& a, int part, int t,
                                               typename S::F value) {
  S::store(a.y + t * a.y_stride + part * S::lanes, value, a.rows - part * S::lanes);
}

[[gnu::always_inline]] inline const uint8_t* x_row(const X16Args& a, int64_t t) {
  return a.x + a.x_row_bytes * (a.x_rows ? a.x_rows[t] : t);
}

/// For rows [row, row + 16 * groups).
[[gnu::always_inline]] inline GroupArgs group_args(const X16Args& a, int64_t row, int groups) {
  const uint8_t* group = a.weights + row / 16 * a.group_bytes;
  const uint8_t* after = group + groups * a.group_bytes;
  if (row + 16 * groups >= a.rows && a.next != nullptr) after = a.next;
  return {.group = group,
          .group_bytes = a.group_bytes,
          .x = {},
          .cols = a.cols,
          .scales = a.scales,
          .sums = a.sums,
          .half_sums = a.half_sums,
          .y = a.y + row,
          .y_stride = a.y_stride,
          .rows = a.rows - row,
          .ahead_jump = after - group - a.group_bytes};
}

template <template <int> class Group, int T>
void run_tokens(const X16Args& a, int64_t row, int64_t& token) noexcept {
  for (; token + T <= a.tokens; token += T) {
    GroupArgs group = group_args(a, row, 1);
    group.y += token * a.y_stride;
    for (int t = 0; t < T; ++t) group.x[t] = x_row(a, token + t);
    Group<T>::run(group);
  }
}

/// Rows [row, a.rows), group by group, so that a group's weights stay in the cache for all tokens.
template <class S, template <int> class Group>
void run_groups(const X16Args& a, int64_t row = 0) noexcept {
  for (; row < a.rows; row += 16) {
    int64_t token = 0;
    if constexpr (S::max_tokens == 8) run_tokens<Group, 8>(a, row, token);
    run_tokens<Group, 4>(a, row, token);
    run_tokens<Group, 2>(a, row, token);
    run_tokens<Group, 1>(a, row, token);
  }
}

}  // namespace
}  // namespace ktx::ops
