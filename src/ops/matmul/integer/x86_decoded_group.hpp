// Products with many tokens, for CPUs without VNNI and formats whose codes are costly to decode: 16
// rows are decoded once, 256 columns at a time, to codes and scales in the L1 cache that all tokens
// use. (With VNNI this pays for every format: x86_vnni_panel.hpp.)
#pragma once

#include "ops/matmul/integer/x86_integer_kernel.hpp"

namespace ktx::ops {
namespace {

/// 256 columns of 16 rows.
template <int Scales>
struct DecodedUnit {
  alignas(64) uint8_t codes[8][8][64];
  alignas(64) float s[Scales][16], m[Scales][16];
};

/// A DecodedUnit as a format of its own: group points to it.
template <class S, class Format>
struct Decoded {
  static_assert(Format::blocks == 8 && !Format::row_scale);
  static constexpr int blocks = 8, scales = Format::scales, bits = Format::bits,
                       zero = Format::zero;
  static constexpr bool is_4bit = false, row_scale = false;
  static constexpr int64_t unit_bytes = 0;  // no prefetching
  using Columns = DecodedUnit<scales>;

  [[gnu::always_inline]] static Unit<S, scales> open(const uint8_t* group, int64_t, int part) {
    const auto& from = *reinterpret_cast<const Columns*>(group);
    Unit<S, scales> unit;
    unit.codes = from.codes[0][0];
    unroll<0, scales>([&](auto n) __attribute__((always_inline)) {
      unit.s[n] = S::load_f32(at<S>(reinterpret_cast<const uint8_t*>(from.s[n]), 0, part));
      unit.m[n] = S::load_f32(at<S>(reinterpret_cast<const uint8_t*>(from.m[n]), 0, part));
    });
    return unit;
  }
  template <int K>
  [[gnu::always_inline]] static typename S::I codes(const uint8_t* codes, int64_t j, int part) {
    return S::load(at<S>(codes + j * 512, K, part));
  }
};

constexpr int64_t decoded_columns = 256, decoded_tokens = 64;

template <class S, class Dot, class Format>
struct DecodedGroup {
  using Columns = DecodedUnit<Format::scales>;

  static void run(const X16Args& a) noexcept {
    for (int64_t row = 0; row < a.rows; row += 16)
      for (int64_t token = 0; token < a.tokens; token += decoded_tokens) {
        const int64_t left = a.tokens - token;
        multiply(a, row, token, left < decoded_tokens ? left : decoded_tokens);
      }
  }

 private:
  using F = typename S::F;

  struct Sums {
    alignas(64) float of[decoded_tokens][16];
  };

  static void multiply(const X16Args& a, int64_t row, int64_t first, int64_t tokens) noexcept {
    Columns columns;
    Sums sums;
    GroupArgs group = group_args(a, row, 1);
    const uint8_t* packed = group.group;
    for (int64_t u = 0; u < a.cols / decoded_columns; ++u) {
      decode(packed, u, columns);
      group.group = columns.codes[0][0];
      // Relative to the codes of a token at these columns: codes take one byte per column, scales
      // and sums 4 or 8 bytes per 32 columns.
      group.scales = a.scales + u * (32 - decoded_columns);
      group.sums = a.sums + u * (32 - decoded_columns);
      group.half_sums = a.half_sums + u * (64 - decoded_columns);
      const auto x = [&](int64_t t) { return x_row(a, first + t) + u * decoded_columns; };
      int64_t t = 0;
      for (; t + S::max_tokens <= tokens; t += S::max_tokens)
        add<S::max_tokens>(group, x, t, u == 0, sums);
      for (; t < tokens; ++t) add<1>(group, x, t, u == 0, sums);
    }
    group.y += first * a.y_stride;
    for (int64_t t = 0; t < tokens; ++t)
      unroll<0, S::parts>([&](auto part) __attribute__((always_inline)) {
        store_group<S>(group, part, static_cast<int>(t), S::load_f32(at_sum(sums, t, part)));
      });
  }

  static const uint8_t* at_sum(const Sums& sums, int64_t t, int part) {
    return at<S>(reinterpret_cast<const uint8_t*>(sums.of[t]), 0, part);
  }

  /// A unit of the packed group.
  [[gnu::noinline]] static void decode(const uint8_t* group, int64_t u, Columns& out) noexcept {
    for (int part = 0; part < S::parts; ++part) {
      const auto unit = Format::open(group, u, part);
      for (int64_t j = 0; j < 8; ++j) {
        typename S::I codes[8];  // all before the first store, because they share look-ups
        unroll<0, 8>([&](auto k) __attribute__((always_inline)) {
          codes[k] = Format::template codes<k>(unit.codes, j, part);
        });
        for (int k = 0; k < 8; ++k) S::store_int(out.codes[j][k] + part * S::lanes * 4, codes[k]);
      }
      for (int n = 0; n < Format::scales; ++n) {
        S::store(out.s[n] + part * S::lanes, unit.s[n], S::lanes);
        S::store(out.m[n] + part * S::lanes, unit.m[n], S::lanes);
      }
    }
  }

  /// The columns times tokens t .. t + T - 1.
  template <int T, class X>
  [[gnu::always_inline]] static void add(GroupArgs& group, const X& x, int64_t t, bool first,
                                         Sums& sums) {
    for (int i = 0; i < T; ++i) group.x[i] = x(t + i);
    add_columns<T>(group, t, first, sums);
  }
  template <int T>
  [[gnu::noinline]] static void add_columns(const GroupArgs& args, int64_t t, bool first,
                                            Sums& sums) noexcept {
    const GroupArgs a = args;
    unroll<0, S::parts>([&](auto part) __attribute__((always_inline)) {
      F acc[1][T];
      unroll<0, T>([&](auto i) __attribute__((always_inline)) {
        acc[0][i] = first ? S::zero() : S::load_f32(at_sum(sums, t + i, part));
      });
      IntegerGroup<S, Dot, Decoded<S, Format>, 1, T>::add_unit(a, 0, part, acc);
      unroll<0, T>([&](auto i) __attribute__((always_inline)) {
        S::store(sums.of[t + i] + part * S::lanes, acc[0][i], S::lanes);
      });
    });
  }
};

/// From this number of tokens on, decoding once for all is faster than once for every few.
constexpr int64_t least_decoded_tokens = 9;

/// The kernels of a format with a codebook, for few tokens and many.
template <class S, class Dot, class Format>
struct CodebookKernel {
  static void run(const X16Args& a) noexcept {
    a.tokens < least_decoded_tokens ? Integer<S, Dot, Format>::run(a)
                                    : DecodedGroup<S, Dot, Format>::run(a);
  }
};

}  // namespace
}  // namespace ktx::ops
