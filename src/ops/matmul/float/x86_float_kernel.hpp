// The kernel of f32, f16, bf16 and fp8 weights with f32 activations.
#pragma once

#include "ops/matmul/simd/x86_groups.hpp"

namespace ktx::ops {
namespace {

// A format has the columns of a step, and column<C>(): the C-th column of 16 rows as f32.

template <class S>
struct F32Columns {
  static constexpr int columns = 2, step_bytes = 128;
  template <int C>
  [[gnu::always_inline]] static typename S::F column(const uint8_t* step, int part) {
    return S::load_f32(at<S>(step, C, part));
  }
};

template <class S>
struct F16Columns {
  static constexpr int columns = 2, step_bytes = 64;
  template <int C>
  [[gnu::always_inline]] static typename S::F column(const uint8_t* step, int part) {
    return S::load_f16(step + C * 32 + part * S::lanes * 2);
  }
};

template <class S>
struct Bf16Columns {
  static constexpr int columns = 2, step_bytes = 64;
  template <int C>
  [[gnu::always_inline]] static typename S::F column(const uint8_t* step, int part) {
    const auto pair = S::load(at<S>(step, 0, part));
    if constexpr (C == 0) return S::as_float(S::template shift_left<16>(pair));
    return S::as_float(S::bit_and(pair, S::set_int(static_cast<int>(0xffff0000u))));
  }
};

template <class S>
struct E4m3Columns {
  static constexpr int columns = 4, step_bytes = 64;
  template <int C>
  [[gnu::always_inline]] static typename S::F column(const uint8_t* step, int part) {
    return S::template load_e4m3<C % 2>(step + C / 2 * 32, part);
  }
};

/// Even and odd columns are summed apart, to keep more additions in flight, where registers allow.
template <class S, int T>
constexpr int chains = S::parts* T * 2 <= (S::lanes == 16 ? 16 : 8) ? 2 : 1;

template <class S, class Format, int T>
struct FloatSums {
  using F = typename S::F;
  static constexpr int C = chains<S, T>;
  F acc[S::parts][T][C];

  [[gnu::always_inline]] void clear() {
    unroll<0, S::parts * T * C>([&](auto i) __attribute__((always_inline)) {
      acc[i / (T * C)][i / C % T][i % C] = S::zero();
    });
  }

  /// Adds columns [first, first + cols); w: the first column's weights.
  [[gnu::always_inline]] void add(const GroupArgs& a, const uint8_t* w, int64_t first,
                                  int64_t cols) {
    for (int64_t c = 0; c < cols; c += Format::columns, w += Format::step_bytes) {
      prefetch<Format::step_bytes>(a, w);
      unroll<0, Format::columns * S::parts>([&](auto i) __attribute__((always_inline)) {
        constexpr int column = i % Format::columns, part = i / Format::columns;
        const F weight = Format::template column<column>(w, part);
        unroll<0, T>([&](auto t) __attribute__((always_inline)) {
          F& sum = acc[part][t][column % C];
          sum = S::fma(weight, S::set(float_at(a.x[t] + (first + c + column) * 4)), sum);
        });
      });
    }
  }

  [[gnu::always_inline]] F total(int part, int t) const {
    if constexpr (C == 2) return S::add(acc[part][t][0], acc[part][t][1]);
    return acc[part][t][0];
  }
};

template <class S, class Format, int T>
struct FloatGroup {
  static void run(const GroupArgs& a) noexcept {
    FloatSums<S, Format, T> sums;
    sums.clear();
    sums.add(a, a.group, 0, a.cols);
    unroll<0, S::parts * T>([&](auto i) __attribute__((always_inline)) {
      store_group<S>(a, i / T, i % T, sums.total(i / T, i % T));
    });
  }
};

/// fp8: the sum of every 128 columns has a scale of its own.
template <class S, int T>
struct Fp8Group {
  using F = typename S::F;
  static void run(const GroupArgs& a) noexcept {
    F acc[S::parts][T];
    unroll<0, S::parts * T>([&](auto i)
                                __attribute__((always_inline)) { acc[i / T][i % T] = S::zero(); });
    const uint8_t* unit = a.group;
    for (int64_t c = 0; c < a.cols; c += 128, unit += 64 + 128 * 16) {
      FloatSums<S, E4m3Columns<S>, T> sums;
      sums.clear();
      sums.add(a, unit + 64, c, 128);
      unroll<0, S::parts * T>([&](auto i) __attribute__((always_inline)) {
        F& sum = acc[i / T][i % T];
        sum = S::fma(sums.total(i / T, i % T), S::load_f32(at<S>(unit, 0, i / T)), sum);
      });
    }
    unroll<0, S::parts * T>([&](
        auto i) __attribute__((always_inline)) {  // 256: what load_e4m3 leaves out
      store_group<S>(a, i / T, i % T, S::mul(acc[i / T][i % T], S::set(256)));
    });
  }
};

template <class S, class Format>
struct Float {
  template <int T>
  using Group = FloatGroup<S, Format, T>;
  static void run(const X16Args& a) noexcept { run_groups<S, Group>(a); }
};

template <class S>
struct FloatFp8 {
  template <int T>
  using Group = Fp8Group<S, T>;
  static void run(const X16Args& a) noexcept { run_groups<S, Group>(a); }
};

}  // namespace
}  // namespace ktx::ops
