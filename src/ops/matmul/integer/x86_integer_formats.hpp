// How the kernels read the integer formats of Layout::x16 (layout_x16.hpp): codes and scales of 32
// columns at a time.
//
// A format over vectors S has
//   blocks      blocks of 32 columns in a unit: of those that open() reads together
//   scales      scales of a row in a unit: 1, blocks, or 2 * blocks (one each 16 columns)
//   bits        per code; 8-bit codes have zero point 128, and kernels may read them as signed
//   is_4bit     whether codes are stored in 4 bits, as values or as indices of `levels`
//   zero        the code of weight 0, so that m = zero * s; -1 where m is a number of its own
//   row_scale   whether one scale, scale_of_row(), serves the whole row: those of units are then 1
//   unit_bytes  of a unit, for prefetching
//   open()      reads a unit, of the part-th vector of 16 rows: weight = s * code - m
//   codes<K>()  the K-th vector of block j: columns 4 K .. 4 K + 3
#pragma once

#include "ops/matmul/simd/x86_groups.hpp"

namespace ktx::ops {
namespace {

// ---- codes ----

template <class S, int K>
[[gnu::always_inline]] inline typename S::I nibbles(const uint8_t* block, int part) {
  const auto packed = S::load(at<S>(block, K / 2, part));
  if constexpr (K % 2 == 0) return S::bit_and(packed, S::set_byte(15));
  return S::bit_and(S::template shift_right<4>(packed), S::set_byte(15));
}

// Shifts by N bits to the left, or right when N is negative, within bytes that are then masked.
template <class S, int N>
[[gnu::always_inline]] inline typename S::I shifted(typename S::I v) {
  if constexpr (N > 0) return S::template shift_left<N>(v);
  if constexpr (N < 0) return S::template shift_right<-N>(v);
  return v;
}

// Byte J % 4 of each lane of words[J / 4], unsigned.
template <class S, int J>
[[gnu::always_inline]] inline typename S::F byte_of(const typename S::I* words) {
  return S::to_float(S::bit_and(shifted<S, -8 * (J % 4)>(words[J / 4]), S::set_int(255)));
}

// Codes of 5 bits: nibbles, and bit K of each byte of `high` above them.
template <class S, int K>
[[gnu::always_inline]] inline typename S::I with_high_bit(const uint8_t* low, const uint8_t* high,
                                                          int part) {
  const auto bits = S::load(at<S>(high, 0, part));
  return S::bit_or(nibbles<S, K>(low, part),
                   S::bit_and(shifted<S, 4 - K>(bits), S::set_byte(0x10)));
}

template <class S, int Scales>
struct Unit {
  const uint8_t* codes;
  typename S::F s[Scales], m[Scales];
};

// ---- units in pairs: q4_0, q5_0, q8_0, iq4_nl, int8/G, int4/G, q6_k; q3_k is below ----

template <int64_t BodyBytes>
[[gnu::always_inline]] inline const uint8_t* pair_body(const uint8_t* group, int64_t u) {
  return group + u / 2 * (64 + 2 * BodyBytes) + 64 + u % 2 * BodyBytes;
}

template <class S, int64_t BodyBytes, bool Bf16>
[[gnu::always_inline]] inline typename S::F pair_scale(const uint8_t* group, int64_t u, int part) {
  const uint8_t* p = group + u / 2 * (64 + 2 * BodyBytes) + u % 2 * 32 + part * S::lanes * 2;
  if constexpr (Bf16) return S::load_bf16(p);
  return S::load_f16(p);
}

template <class S, int Bits, int Cols, bool Bf16, int Zero>
struct Plain {
  static constexpr int blocks = Cols / 32, scales = 1, bits = Bits, zero = Zero;
  static constexpr bool is_4bit = Bits == 4, row_scale = false;
  static constexpr int64_t unit_bytes = Cols * 2 * Bits;
  [[gnu::always_inline]] static Unit<S, 1> open(const uint8_t* group, int64_t u, int part) {
    const auto s = pair_scale<S, unit_bytes, Bf16>(group, u, part);
    return {pair_body<unit_bytes>(group, u), {s}, {S::mul(s, S::set(Zero))}};
  }
  template <int K>
  [[gnu::always_inline]] static typename S::I codes(const uint8_t* codes, int64_t j, int part) {
    if constexpr (Bits == 4) return nibbles<S, K>(codes + j * 256, part);
    if constexpr (Bits == 5) return with_high_bit<S, K>(codes + j * 256, codes + 256, part);
    return S::load(at<S>(codes + j * 512, K, part));
  }
};

template <class S>
using Q4_0 = Plain<S, 4, 32, false, 8>;
template <class S>
using Q5_0 = Plain<S, 5, 32, false, 16>;
template <class S>
using Q8_0 = Plain<S, 8, 32, false, 128>;
template <class S, int G>
using Int8Group = Plain<S, 8, G, true, 128>;
template <class S, int G>
using Int4Group = Plain<S, 4, G, true, 8>;

// The levels of iq4_nl and iq4_xs, + 128.
alignas(16) constexpr uint8_t iq4_codes[16] = {1,   24,  45,  63,  79,  93,  106, 118,
                                               129, 141, 153, 166, 181, 197, 217, 241};

// The levels of mxfp4, + 16.
alignas(16) constexpr uint8_t mxfp4_codes[16] = {16, 17, 18, 19, 20, 22, 24, 28,
                                                 16, 15, 14, 13, 12, 10, 8,  4};

template <class Format, class S, int K>
[[gnu::always_inline]] inline typename S::I look_up(const uint8_t* codes, int64_t j, int part) {
  return S::look_up(Format::levels, nibbles<S, K>(codes + j * 256, part));
}

template <class S>
struct Iq4Nl : Plain<S, 4, 32, false, 128> {
  static constexpr int bits = 8;
  static constexpr const uint8_t* levels = iq4_codes;
  template <int K>
  [[gnu::always_inline]] static typename S::I codes(const uint8_t* codes, int64_t j, int part) {
    return look_up<Iq4Nl, S, K>(codes, j, part);
  }
};

template <class S>
struct Q6K {
  static constexpr int blocks = 8, scales = 16, bits = 6, zero = 32;
  static constexpr bool is_4bit = false, row_scale = false;
  static constexpr int64_t unit_bytes = 256 + 3072;
  [[gnu::always_inline]] static Unit<S, 16> open(const uint8_t* group, int64_t u, int part) {
    const uint8_t* body = pair_body<unit_bytes>(group, u);
    const auto d = pair_scale<S, unit_bytes, false>(group, u, part);
    Unit<S, 16> unit;
    unit.codes = body + 256;
    unroll<0, 16>([&](auto i) __attribute__((always_inline)) {
      const auto high = shifted<S, 24 - 8 * (i % 4)>(S::load(at<S>(body, i / 4, part)));
      unit.s[i] = S::mul(d, S::to_float(S::template shift_right_signed<24>(high)));
      unit.m[i] = S::mul(unit.s[i], S::set(zero));
    });
    return unit;
  }
  template <int K>
  [[gnu::always_inline]] static typename S::I codes(const uint8_t* codes, int64_t j, int part) {
    const auto high = S::load(at<S>(codes + 2048 + j * 128, K / 4, part));
    return S::bit_or(nibbles<S, K>(codes + j * 256, part),
                     S::bit_and(shifted<S, 4 - 2 * (K % 4)>(high), S::set_byte(0x30)));
  }
};

// ---- q4_1, q5_1 ----

template <class S, int Bits>
struct WithMin {
  static constexpr int blocks = 1, scales = 1, bits = Bits, zero = -1;
  static constexpr bool is_4bit = Bits == 4, row_scale = false;
  static constexpr int64_t unit_bytes = 64 + 64 * Bits;
  [[gnu::always_inline]] static Unit<S, 1> open(const uint8_t* group, int64_t u, int part) {
    const uint8_t* base = group + u * unit_bytes;
    const auto m = S::load_f16(base + 32 + part * S::lanes * 2);  // in weight = d * code + m
    return {base + 64, {S::load_f16(base + part * S::lanes * 2)}, {S::mul(m, S::set(-1))}};
  }
  template <int K>
  [[gnu::always_inline]] static typename S::I codes(const uint8_t* codes, int64_t, int part) {
    if constexpr (Bits == 4) return nibbles<S, K>(codes, part);
    return with_high_bit<S, K>(codes, codes + 256, part);
  }
};

template <class S>
using Q4_1 = WithMin<S, 4>;
template <class S>
using Q5_1 = WithMin<S, 5>;

// ---- q2_k, q3_k: a quarter of a block at a time, whose scales stay in registers ----

template <class S, int K>
[[gnu::always_inline]] inline typename S::I pairs_of_bits(const uint8_t* block, int part) {
  const auto packed = S::load(at<S>(block, K / 4, part));
  return S::bit_and(shifted<S, -2 * (K % 4)>(packed), S::set_byte(3));
}

template <class S>
struct Q2K {
  static constexpr int blocks = 2, scales = 4, bits = 2, zero = -1;
  static constexpr bool is_4bit = false, row_scale = false;
  static constexpr int64_t unit_bytes = 384;  // including what is between blocks
  [[gnu::always_inline]] static Unit<S, 4> open(const uint8_t* group, int64_t u, int part) {
    const uint8_t* block = group + u / 4 * 1344;
    const uint8_t* quarter = block + 64 + u % 4 * 320;
    const auto d = S::load_f16(block + part * S::lanes * 2);
    const auto dmin = S::load_f16(block + 32 + part * S::lanes * 2);
    const auto words = S::load(at<S>(quarter, 0, part));
    Unit<S, 4> unit;
    unit.codes = quarter + 64;
    unroll<0, 4>([&](auto i) __attribute__((always_inline)) {
      const auto scale = S::bit_and(shifted<S, -8 * i>(words), S::set_int(15));
      const auto min = S::bit_and(shifted<S, -8 * i - 4>(words), S::set_int(15));
      unit.s[i] = S::mul(d, S::to_float(scale));
      unit.m[i] = S::mul(dmin, S::to_float(min));
    });
    return unit;
  }
  template <int K>
  [[gnu::always_inline]] static typename S::I codes(const uint8_t* codes, int64_t j, int part) {
    return pairs_of_bits<S, K>(codes + j * 128, part);
  }
};

template <class S>
struct Q3K {
  static constexpr int blocks = 2, scales = 4, bits = 3, zero = 4;
  static constexpr bool is_4bit = false, row_scale = false;
  static constexpr int64_t unit_bytes = 512;  // including what is between blocks
  static constexpr int64_t body_bytes = 1728;
  [[gnu::always_inline]] static Unit<S, 4> open(const uint8_t* group, int64_t u, int part) {
    const uint8_t* body = pair_body<body_bytes>(group, u / 4);
    const int quarter = static_cast<int>(u % 4);
    const auto d = pair_scale<S, body_bytes, false>(group, u / 4, part);
    // q3_k_scale of k_scales.hpp, of four sub-blocks at once.
    const auto nibbles =
        S::shift_right_by(S::load(at<S>(body, quarter % 2, part)), quarter / 2 * 4);
    const auto pairs = S::shift_right_by(S::load(at<S>(body, 2, part)), quarter * 2);
    const auto words = S::bit_or(S::bit_and(nibbles, S::set_byte(15)),
                                 S::template shift_left<4>(S::bit_and(pairs, S::set_byte(3))));
    Unit<S, 4> unit;
    unit.codes = body + 192 + quarter * 384;
    unroll<0, 4>([&](auto i) __attribute__((always_inline)) {
      const auto scale = S::bit_and(shifted<S, -8 * i>(words), S::set_int(255));
      unit.s[i] = S::mul(d, S::to_float(S::sub(scale, S::set_int(32))));
      unit.m[i] = S::mul(unit.s[i], S::set(zero));
    });
    return unit;
  }
  template <int K>
  [[gnu::always_inline]] static typename S::I codes(const uint8_t* codes, int64_t j, int part) {
    const auto high = S::load(at<S>(codes + 256 + j * 64, 0, part));
    return S::bit_or(pairs_of_bits<S, K>(codes + j * 128, part),
                     S::bit_and(shifted<S, 2 - K>(high), S::set_byte(4)));
  }
};

// ---- q4_k, q5_k ----

// The 6-bit scales and mins of 8 sub-blocks from the 12 bytes of each row (k_scale_min of
// blocks.hpp, four sub-blocks at once).
template <class S>
[[gnu::always_inline]] inline Unit<S, 8> open_k(const uint8_t* base, int part) {
  const auto w0 = S::load(at<S>(base + 64, 0, part)), w1 = S::load(at<S>(base + 64, 1, part)),
             w2 = S::load(at<S>(base + 64, 2, part));
  const auto six = S::set_byte(0x3f), low = S::set_byte(0x0f), high = S::set_byte(0x30);
  const typename S::I scales[2] = {
      S::bit_and(w0, six),
      S::bit_or(S::bit_and(w2, low), S::bit_and(S::template shift_right<2>(w0), high))};
  const typename S::I mins[2] = {S::bit_and(w1, six),
                                 S::bit_or(S::bit_and(S::template shift_right<4>(w2), low),
                                           S::bit_and(S::template shift_right<2>(w1), high))};
  const auto d = S::load_f16(base + part * S::lanes * 2);
  const auto dmin = S::load_f16(base + 32 + part * S::lanes * 2);
  Unit<S, 8> unit;
  unit.codes = base + 256;
  unroll<0, 8>([&](auto j) __attribute__((always_inline)) {
    unit.s[j] = S::mul(d, byte_of<S, j>(scales));
    unit.m[j] = S::mul(dmin, byte_of<S, j>(mins));
  });
  return unit;
}

template <class S>
struct Q4K {
  static constexpr int blocks = 8, scales = 8, bits = 4, zero = -1;
  static constexpr bool is_4bit = true, row_scale = false;
  static constexpr int64_t unit_bytes = 2304;
  [[gnu::always_inline]] static Unit<S, 8> open(const uint8_t* group, int64_t u, int part) {
    return open_k<S>(group + u * unit_bytes, part);
  }
  template <int K>
  [[gnu::always_inline]] static typename S::I codes(const uint8_t* codes, int64_t j, int part) {
    return nibbles<S, K>(codes + j * 256, part);
  }
};

template <class S>
struct Q5K {
  static constexpr int blocks = 8, scales = 8, bits = 5, zero = -1;
  static constexpr bool is_4bit = false, row_scale = false;
  static constexpr int64_t unit_bytes = 2816;
  [[gnu::always_inline]] static Unit<S, 8> open(const uint8_t* group, int64_t u, int part) {
    return open_k<S>(group + u * unit_bytes, part);
  }
  template <int K>
  [[gnu::always_inline]] static typename S::I codes(const uint8_t* codes, int64_t j, int part) {
    return with_high_bit<S, K>(codes + j * 256, codes + 2048 + j * 64, part);
  }
};

// ---- iq4_xs, mxfp4, int8 ----

template <class S>
struct Iq4Xs {
  static constexpr int blocks = 8, scales = 8, bits = 8, zero = 128;
  static constexpr bool is_4bit = true, row_scale = false;
  static constexpr const uint8_t* levels = iq4_codes;
  static constexpr int64_t unit_bytes = 2176;
  [[gnu::always_inline]] static Unit<S, 8> open(const uint8_t* group, int64_t u, int part) {
    const uint8_t* base = group + u * unit_bytes;
    const auto d = S::load_f16(base + part * S::lanes * 2);
    const auto all_high = S::load_u16(base + 32 + part * S::lanes * 2);
    const auto all_low = S::load(at<S>(base + 64, 0, part));
    Unit<S, 8> unit;
    unit.codes = base + 128;
    unroll<0, 8>([&](auto j) __attribute__((always_inline)) {
      const auto low = S::bit_and(shifted<S, -4 * j>(all_low), S::set_int(15));
      const auto high = S::bit_and(shifted<S, 4 - 2 * j>(all_high), S::set_int(0x30));
      unit.s[j] = S::mul(d, S::to_float(S::sub(S::bit_or(low, high), S::set_int(32))));
      unit.m[j] = S::mul(unit.s[j], S::set(zero));
    });
    return unit;
  }
  template <int K>
  [[gnu::always_inline]] static typename S::I codes(const uint8_t* codes, int64_t j, int part) {
    return look_up<Iq4Xs, S, K>(codes, j, part);
  }
};

// Units in groups of four, each with 16 bytes of e8m0. Shifted to the exponent of an f32, a code is
// twice the scale; 0, which means 2^-127, is treated as 0.
template <class S>
struct Mxfp4 {
  static constexpr int blocks = 1, scales = 1, bits = 5, zero = 16;
  static constexpr bool is_4bit = true, row_scale = false;
  static constexpr const uint8_t* levels = mxfp4_codes;
  static constexpr int64_t unit_bytes = 256;
  [[gnu::always_inline]] static Unit<S, 1> open(const uint8_t* group, int64_t u, int part) {
    const uint8_t* four = group + u / 4 * (64 + 4 * unit_bytes);
    const auto exponent = S::load_u8(four + u % 4 * 16 + part * S::lanes);
    const auto s = S::mul(S::as_float(S::template shift_left<23>(exponent)), S::set(0.5f));
    return {four + 64 + u % 4 * unit_bytes, {s}, {S::mul(s, S::set(zero))}};
  }
  template <int K>
  [[gnu::always_inline]] static typename S::I codes(const uint8_t* codes, int64_t j, int part) {
    return look_up<Mxfp4, S, K>(codes, j, part);
  }
};

template <class S>
struct Int8Row {
  static constexpr int blocks = 1, scales = 1, bits = 8, zero = 128;
  static constexpr bool is_4bit = false, row_scale = true;
  static constexpr int64_t unit_bytes = 512;
  [[gnu::always_inline]] static Unit<S, 1> open(const uint8_t* group, int64_t u, int) {
    return {group + 64 + u * unit_bytes, {S::set(1)}, {S::set(zero)}};
  }
  [[gnu::always_inline]] static typename S::F scale_of_row(const uint8_t* group, int part) {
    return S::load_f32(at<S>(group, 0, part));
  }
  template <int K>
  [[gnu::always_inline]] static typename S::I codes(const uint8_t* codes, int64_t, int part) {
    return S::load(at<S>(codes, K, part));
  }
};

}  // namespace
}  // namespace ktx::ops
