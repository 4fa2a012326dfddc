// The kernel of the integer formats with q8 activations: a block of 32 columns x 16 rows is decoded
// into registers once for up to S::max_tokens tokens.
#pragma once

#include "ops/matmul/x16_args.hpp"
#include "ops/matmul/x86_integer_formats.hpp"

namespace ktx::ops {
namespace {

// ---- dots of unsigned codes with signed activations, without VNNI ----

/// How many 16-bit products of pairs can be added before they could overflow: pairs are at most
/// 2 * 127 * (2^bits - 1).
constexpr int pair_sums(int bits) {
  return bits == 4 ? 8 : bits == 5 ? 4 : bits == 6 ? 2 : 1;
}

/// Sums of four products each lane, through 16-bit sums of two. 8-bit codes would overflow those:
/// they are read as signed and multiplied by magnitude, which is exact (128 * 127 * 2 < 2^15).
template <class S>
struct PairDot {
  template <int Bits>
  static constexpr bool is_signed = Bits == 8;
  using I = typename S::I;
  struct Sum {
    I words, pairs;
  };
  [[gnu::always_inline]] static Sum start() { return {S::zero_int(), S::zero_int()}; }
  struct Weight {
    I codes, sign;
  };
  template <int Bits>
  [[gnu::always_inline]] static Weight weight(I codes) {
    if constexpr (!is_signed<Bits>) return {codes, codes};
    const I value = S::bit_xor(codes, S::set_byte(128));
    return {S::magnitude(value), value};
  }
  /// K: the number of this step since start().
  template <int Bits, int K>
  [[gnu::always_inline]] static void step(Sum& sum, const Weight& w, I x) {
    constexpr int depth = pair_sums(Bits);
    if constexpr (is_signed<Bits>) x = S::with_sign_of(x, w.sign);
    const I product = S::multiply_pairs(w.codes, x);
    sum.pairs = K % depth == 0 ? product : S::add_16(sum.pairs, product);
    if constexpr (K % depth == depth - 1) sum.words = S::add(sum.words, S::sum_pairs(sum.pairs));
  }
  [[gnu::always_inline]] static I finish(const Sum& sum) { return sum.words; }
};

// ---- one group of 16 rows x T tokens ----

struct TileArgs {
  const uint8_t* group;
  const uint8_t* x[8];
  int64_t cols;
  int64_t scales, sums, half_sums;  // byte offsets in a row of x
  float* y;
  int64_t y_stride;
  int64_t rows;  // of the group that exist, 1..16
  // Fetching ahead of use goes on, from this address, so many bytes further.
  const uint8_t* ahead_end;
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

template <int64_t Bytes>
[[gnu::always_inline]] inline void prefetch(const TileArgs& a, const uint8_t* p) {
  const uint8_t* ahead = p + prefetch_distance;
  if (ahead >= a.ahead_end) ahead += a.ahead_jump;
  unroll<0, static_cast<int>((Bytes + 63) / 64)>([&](auto i) __attribute__((always_inline)) {
    __builtin_prefetch(ahead + i * 64, 0, 3);
  });
}

template <class S>
[[gnu::always_inline]] inline void store_tile(const TileArgs& a, int part, int t,
                                              typename S::F value) {
  S::store(a.y + t * a.y_stride + part * S::lanes, value, a.rows - part * S::lanes);
}

template <class S, class Dot, class Format, int T>
struct IntegerTile {
  using F = typename S::F;
  static constexpr int bits = Format::bits, scales = Format::scales;
  static constexpr bool halves = scales > Format::blocks;
  static constexpr bool with_min = !Dot::template is_signed<bits>;

  /// Adds block j of the unit, or its half H when halves have scales of their own.
  template <int H>
  [[gnu::always_inline]] static void add(const TileArgs& a, const Unit<S, scales>& unit, int64_t j,
                                         int64_t block, int part, F (&acc)[T]) {
    constexpr int steps = halves ? 4 : 8;
    typename Dot::Sum sum[T];
    unroll<0, T>([&](auto t) __attribute__((always_inline)) { sum[t] = Dot::start(); });
    unroll<0, steps>([&](auto k) __attribute__((always_inline)) {
      constexpr int K = H * steps + k;
      const auto w = Dot::template weight<bits>(Format::template codes<K>(unit.codes, j, part));
      unroll<0, T>([&](auto t) __attribute__((always_inline)) {
        const auto x = S::set_int(int_at(a.x[t] + block * 32 + K * 4));
        Dot::template step<bits, k>(sum[t], w, x);
      });
    });
    const int64_t scale = scales == 1 ? 0 : halves ? 2 * j + H : j;
    const int64_t sums = halves ? a.half_sums + block * 8 + H * 4 : a.sums + block * 4;
    unroll<0, T>([&](auto t) __attribute__((always_inline)) {
      F value = S::to_float(Dot::finish(sum[t]));
      if constexpr (!Format::row_scale) value = S::mul(value, unit.s[scale]);
      acc[t] = S::fma(value, S::set(float_at(a.x[t] + a.scales + block * 4)), acc[t]);
      if constexpr (with_min)
        acc[t] = S::fnma(unit.m[scale], S::set(float_at(a.x[t] + sums)), acc[t]);
    });
  }

  static void run(const TileArgs& args) noexcept {
    const TileArgs a = args;
    F acc[S::parts][T];
    unroll<0, S::parts * T>([&](auto i)
                                __attribute__((always_inline)) { acc[i / T][i % T] = S::zero(); });
    const int64_t units = a.cols / (Format::blocks * 32);
    for (int64_t u = 0; u < units; ++u)
      unroll<0, S::parts>([&](auto part) __attribute__((always_inline)) {
        const Unit<S, scales> unit = Format::open(a.group, u, part);
        for (int64_t j = 0; j < Format::blocks; ++j) {
          constexpr int64_t block_bytes = Format::unit_bytes / Format::blocks;
          if constexpr (part == 0) prefetch<block_bytes>(a, unit.codes + j * block_bytes);
          add<0>(a, unit, j, u * Format::blocks + j, part, acc[part]);
          if constexpr (halves) add<1>(a, unit, j, u * Format::blocks + j, part, acc[part]);
        }
      });
    unroll<0, S::parts * T>([&](auto i) __attribute__((always_inline)) {
      constexpr int part = i / T, t = i % T;
      F value = acc[part][t];
      if constexpr (Format::row_scale) value = S::mul(value, Format::scale_of_row(a.group, part));
      store_tile<S>(a, part, t, value);
    });
  }
};

// ---- all groups and tokens ----

[[gnu::always_inline]] inline const uint8_t* x_row(const X16Args& a, int64_t t) {
  return a.x + a.x_row_bytes * (a.x_rows ? a.x_rows[t] : t);
}

template <template <int> class Tile, int T>
void run_tiles(const X16Args& a, const uint8_t* group, int64_t row, int64_t& token) noexcept {
  const uint8_t* end = a.weights + (a.rows + 15) / 16 * a.group_bytes;
  for (; token + T <= a.tokens; token += T) {
    TileArgs tile{.group = group,
                  .x = {},
                  .cols = a.cols,
                  .scales = a.scales,
                  .sums = a.sums,
                  .half_sums = a.half_sums,
                  .y = a.y + token * a.y_stride + row,
                  .y_stride = a.y_stride,
                  .rows = a.rows - row < 16 ? a.rows - row : 16,
                  .ahead_end = end,
                  .ahead_jump = a.next != nullptr ? a.next - end : 0};
    for (int t = 0; t < T; ++t) tile.x[t] = x_row(a, token + t);
    Tile<T>::run(tile);
  }
}

/// Group by group, so that a group's weights stay in the cache for all tiles of tokens.
template <class S, template <int> class Tile>
void run_groups(const X16Args& a) noexcept {
  const uint8_t* group = a.weights;
  for (int64_t row = 0; row < a.rows; row += 16, group += a.group_bytes) {
    int64_t token = 0;
    if constexpr (S::max_tokens == 8) run_tiles<Tile, 8>(a, group, row, token);
    run_tiles<Tile, 4>(a, group, row, token);
    run_tiles<Tile, 2>(a, group, row, token);
    run_tiles<Tile, 1>(a, group, row, token);
  }
}

template <class S, class Dot, class Format>
struct Integer {
  template <int T>
  using Tile = IntegerTile<S, Dot, Format, T>;
  static void run(const X16Args& a) noexcept { run_groups<S, Tile>(a); }
};

}  // namespace
}  // namespace ktx::ops
