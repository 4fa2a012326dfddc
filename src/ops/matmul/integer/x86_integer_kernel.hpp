// The kernel of the integer formats with q8 activations: a block of 32 columns x 16 rows is decoded
// into registers once for up to S::max_tokens tokens. With a single token, two groups of 16 rows
// are processed together.
#pragma once

#include "ops/matmul/integer/x86_integer_formats.hpp"
#include "ops/matmul/simd/x86_groups.hpp"

namespace ktx::ops {
namespace {

// ---- dots of unsigned codes with signed activations, without VNNI ----

/// How many 16-bit sums of pairs can be added without overflow: a pair is at most 2 * 127 * (2^bits
/// - 1). Codes of 2, 3 and 6 bits have a scale every 4 steps.
constexpr int pair_sums(int bits) {
  return bits < 4 ? 4 : bits == 4 ? 8 : bits == 5 ? 4 : bits == 6 ? 2 : 1;
}

/// Sums of four products per lane, through 16-bit sums of two. 8-bit codes would overflow these, so
/// they are read as signed and their magnitudes multiplied, which is exact (128 * 127 * 2 < 2^15).
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

template <class S, class Dot, class Format, int G, int T>
struct IntegerGroup {
  using F = typename S::F;
  static constexpr int bits = Format::bits, scales = Format::scales;
  static constexpr bool halves = scales > Format::blocks;
  static constexpr bool with_min = !Dot::template is_signed<bits>;
  using Units = Unit<S, scales>[G];

  /// Adds block j of the units, or its half H if halves have scales of their own.
  template <int H>
  [[gnu::always_inline]] static void add(const GroupArgs& a, const Units& units, int64_t j,
                                         int64_t block, int part, F (&acc)[G][T]) {
    constexpr int steps = halves ? 4 : 8;
    typename Dot::Sum sum[G][T];
    unroll<0, G * T>([&](auto i)
                         __attribute__((always_inline)) { sum[i / T][i % T] = Dot::start(); });
    unroll<0, steps>([&](auto k) __attribute__((always_inline)) {
      constexpr int K = H * steps + k;
      unroll<0, G>([&](auto g) __attribute__((always_inline)) {
        const auto codes = Format::template codes<K>(units[g].codes, j, part);
        const auto w = Dot::template weight<bits>(codes);
        unroll<0, T>([&](auto t) __attribute__((always_inline)) {
          const auto x = S::set_int(int_at(a.x[t] + block * 32 + K * 4));
          Dot::template step<bits, k>(sum[g][t], w, x);
        });
      });
    });
    const int64_t scale = scales == 1 ? 0 : halves ? 2 * j + H : j;
    const int64_t sums = halves ? a.half_sums + block * 8 + H * 4 : a.sums + block * 4;
    unroll<0, G * T>([&](auto i) __attribute__((always_inline)) {
      constexpr int g = i / T, t = i % T;
      F value = S::to_float(Dot::finish(sum[g][t])), &to = acc[g][t];
      if constexpr (!Format::row_scale) value = S::mul(value, units[g].s[scale]);
      to = S::fma(value, S::set(float_at(a.x[t] + a.scales + block * 4)), to);
      if constexpr (with_min) to = S::fnma(units[g].m[scale], S::set(float_at(a.x[t] + sums)), to);
    });
  }

  [[gnu::always_inline]] static void add_unit(const GroupArgs& a, int64_t u, int part,
                                              F (&acc)[G][T]) {
    Units units;
    unroll<0, G>([&](auto g) __attribute__((always_inline)) {
      units[g] = Format::open(a.group + g * a.group_bytes, u, part);
    });
    for (int64_t j = 0; j < Format::blocks; ++j) {
      constexpr int64_t block_bytes = Format::unit_bytes / Format::blocks;
      if (part == 0)
        unroll<0, G>([&](auto g) __attribute__((always_inline)) {
          prefetch<block_bytes>(a, units[g].codes + j * block_bytes, g);
        });
      add<0>(a, units, j, u * Format::blocks + j, part, acc);
      if constexpr (halves) add<1>(a, units, j, u * Format::blocks + j, part, acc);
    }
  }

  static void run(const GroupArgs& args) noexcept {
    const GroupArgs a = args;
    F acc[S::parts][G][T];
    unroll<0, S::parts * G * T>([&](auto i) __attribute__((always_inline)) {
      acc[i / (G * T)][i / T % G][i % T] = S::zero();
    });
    const int64_t units = a.cols / (Format::blocks * 32);
    for (int64_t u = 0; u < units; ++u)
      unroll<0, S::parts>([&](auto part)
                              __attribute__((always_inline)) { add_unit(a, u, part, acc[part]); });
    unroll<0, S::parts * G * T>([&](auto i) __attribute__((always_inline)) {
      constexpr int part = i / (G * T), g = i / T % G, t = i % T;
      F value = acc[part][g][t];
      if constexpr (Format::row_scale)
        value = S::mul(value, Format::scale_of_row(a.group + g * a.group_bytes, part));
      store_group<S>(a, g * S::parts + part, t, value);
    });
  }
};

template <class S, class Dot, class Format>
struct Integer {
  template <int T>
  using Group = IntegerGroup<S, Dot, Format, 1, T>;
  using Pair = IntegerGroup<S, Dot, Format, 2, 1>;

  static void run(const X16Args& a) noexcept {
    int64_t row = 0;
    // A single group would be bound by instructions, not memory; two share the loads of a token.
    if (S::parts == 1 && a.tokens == 1)
      for (; row + 16 < a.rows; row += 32) {
        GroupArgs pair = group_args(a, row, 2);
        pair.x[0] = x_row(a, 0);
        Pair::run(pair);
      }
    run_groups<S, Group>(a, row);
  }
};

}  // namespace
}  // namespace ktx::ops
