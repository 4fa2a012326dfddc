// How the kernels read the codebook formats, IQ1 to IQ3, in Layout::x16. The interface is that of
// x86_integer_formats.hpp, which reads the other formats. The words of a block are in the order of
// the format itself (quant/blocks.hpp), but its scale d is apart; comments refer to word numbers.
#pragma once

#include "ops/matmul/integer/x86_codebooks.hpp"
#include "ops/matmul/integer/x86_integer_formats.hpp"

namespace ktx::ops {
namespace {

/// Word n of a block.
template <class S>
[[gnu::always_inline]] inline typename S::I word(const uint8_t* block, int64_t n, int part) {
  return S::load(at<S>(block + n * 64, 0, part));
}

/// Bits [bit, bit + 32) counted from the beginning of word n, as far as they are in one word.
template <class S>
[[gnu::always_inline]] inline typename S::I bits_at(const uint8_t* block, int64_t n, int64_t bit,
                                                    int part) {
  return S::shift_right_by(word<S>(block, n + bit / 32, part), static_cast<int>(bit % 32));
}

/// Bits [From, From + Count) of each lane.
template <class S, int From, int Count>
[[gnu::always_inline]] inline typename S::I field(typename S::I v) {
  return S::bit_and(shifted<S, -From>(v), S::set_int((1 << Count) - 1));
}

/// Blocks of `Words` words and a scale d, in pairs; `Scales` scales of 2 q + 1 times d * Unit.
template <class S, int Words, int Scales, int Bits, int Zero>
struct CodebookFormat {
  static constexpr int blocks = 8, scales = Scales, bits = Bits, zero = Zero;
  static constexpr bool is_4bit = false, row_scale = false;
  static constexpr int64_t unit_bytes = Words * 64;

 protected:
  using I = typename S::I;

  /// scale(block, n): the n-th q; n is an Index.
  template <class Scale>
  [[gnu::always_inline]] static Unit<S, Scales> open_with(const uint8_t* block, typename S::F unit,
                                                          const Scale& scale) {
    const auto twice = S::add(unit, unit);
    Unit<S, Scales> opened;
    opened.codes = block;
    unroll<0, Scales>([&](auto n) __attribute__((always_inline)) {
      opened.s[n] = S::fma(S::to_float(scale(block, n)), twice, unit);
      opened.m[n] = S::mul(opened.s[n], S::set(Zero));
    });
    return opened;
  }
  template <class Scale>
  [[gnu::always_inline]] static Unit<S, Scales> open_pair(const uint8_t* group, int64_t u, int part,
                                                          float unit, const Scale& scale) {
    const auto d = pair_scale<S, unit_bytes, false>(group, u, part);
    return open_with(pair_body<unit_bytes>(group, u), S::mul(d, S::set(unit)), scale);
  }
};

// ---- iq2: 8 weights an index, with signs ----

// Words 2 j and 2 j + 1 for block j: 4 indices of 8 bits; 4 x 7 sign bits and 4 bits of scale.
template <class S>
struct Iq2Xxs : CodebookFormat<S, 16, 8, 7, iq2_zero> {
  using I = typename S::I;
  [[gnu::always_inline]] static Unit<S, 8> open(const uint8_t* group, int64_t u, int part) {
    return Iq2Xxs::open_pair(
        group, u, part,
        0.125f, [part](const uint8_t* block, auto n) __attribute__((always_inline)) {
          return S::template shift_right<28>(word<S>(block, 2 * n + 1, part));
        });
  }
  template <int K>
  [[gnu::always_inline]] static I codes(const uint8_t* block, int64_t j, int part) {
    constexpr int octet = K / 2, half = K % 2;
    const I indices = word<S>(block, 2 * j, part), signs = word<S>(block, 2 * j + 1, part);
    if constexpr (S::looks_up_bytes) {
      const Octets<S> octets(iq2_xxs_planes, indices, indices);
      return signed_levels<S, 2, 8 * octet + 4 * half>(
          iq2_levels, octets.template codes<octet, half>(), even_signs<S>(signs));
    } else {
      const I four = four_of<S, half>(quant::iq2_xxs_grid, field<S, 8 * octet, 8>(indices));
      return signed_codes<S, 4 * half>(iq2_zero, four,
                                       even_signs_of_one<S>(shifted<S, -7 * octet>(signs)));
    }
  }
};

// Words 2 j and 2 j + 1 for block j: 4 x 9 bits of index and 7 sign bits; words 16 and 17: 4 bits
// of scale for every 16 columns.
template <class S>
struct Iq2Xs : CodebookFormat<S, 18, 16, 7, iq2_zero> {
  using I = typename S::I;
  [[gnu::always_inline]] static Unit<S, 16> open(const uint8_t* group, int64_t u, int part) {
    return Iq2Xs::open_pair(
        group, u, part,
        0.125f, [part](const uint8_t* block, auto n) __attribute__((always_inline)) {
          return field<S, 4 * (n % 8), 4>(word<S>(block, 16 + n / 8, part));
        });
  }
  template <int K>
  [[gnu::always_inline]] static I codes(const uint8_t* block, int64_t j, int part) {
    constexpr int octet = K / 2, half = K % 2;
    if constexpr (S::looks_up_bytes) {
      // The lower and the upper bytes of octets 0, 2, 1, 3.
      constexpr int place = octet % 2 * 2 + octet / 2;
      const I a = word<S>(block, 2 * j, part), b = word<S>(block, 2 * j + 1, part);
      const I first = S::set_int(0x00ff00ff);
      const I low = S::select(first, a, S::template shift_left<8>(b));
      const I high = S::select(first, S::template shift_right<8>(a), b);
      const Octets<S> octets(iq2_xs_planes, low, high);
      const I signs = S::look_up_128(reinterpret_cast<const uint8_t*>(&quant::iq_signs),
                                     S::template shift_right<1>(high));
      return signed_levels<S, 2, 8 * place + 4 * half>(iq2_levels,
                                                       octets.template codes<place, half>(), signs);
    } else {
      const I both = word<S>(block, 2 * j + octet / 2, part);
      const I four = four_of<S, half>(quant::iq2_xs_grid, field<S, 16 * (octet % 2), 9>(both));
      return signed_codes<S, 4 * half>(
          iq2_zero, four, even_signs_of_one<S>(shifted<S, -16 * (octet % 2) - 9>(both)));
    }
  }
};

// Words 0 to 7: the low bytes of 4 indices; 8 to 15: 4 x 8 sign bits; 16 and 17: the 2 high bits of
// each index; 18 and 19: 4 bits of scale for every 16 columns.
template <class S>
struct Iq2S : CodebookFormat<S, 20, 16, 7, iq2_zero> {
  using I = typename S::I;
  [[gnu::always_inline]] static Unit<S, 16> open(const uint8_t* group, int64_t u, int part) {
    return Iq2S::open_pair(
        group, u, part,
        0.125f, [part](const uint8_t* block, auto n) __attribute__((always_inline)) {
          return field<S, 4 * (n % 8), 4>(word<S>(block, 18 + n / 8, part));
        });
  }
  template <int K>
  [[gnu::always_inline]] static I codes(const uint8_t* block, int64_t j, int part) {
    constexpr int octet = K / 2, half = K % 2;
    const I low = word<S>(block, j, part), signs = word<S>(block, 8 + j, part);
    const I high = bits_at<S>(block, 16, 8 * j, part);
    if constexpr (S::looks_up_bytes) {
      const Octets<S> octets(iq2_s_planes, low, S::template spread<0, 2>(high));
      return signed_levels<S, 2, 8 * octet + 4 * half>(iq2_levels,
                                                       octets.template codes<octet, half>(), signs);
    } else {
      const I index = S::bit_or(field<S, 8 * octet, 8>(low),
                                S::template shift_left<8>(field<S, 2 * octet, 2>(high)));
      return signed_codes<S, 8 * octet + 4 * half>(
          iq2_zero, four_of<S, half>(quant::iq2_s_grid, index), signs);
    }
  }
};

// ---- iq3: 4 weights an index, with signs ----

// Words 2 j and 2 j + 1 for block j: 8 indices of 8 bits; 16 to 23: 4 x 7 sign bits and 4 bits of
// scale.
template <class S>
struct Iq3Xxs : CodebookFormat<S, 24, 8, 7, iq3_xxs_zero> {
  using I = typename S::I;
  [[gnu::always_inline]] static Unit<S, 8> open(const uint8_t* group, int64_t u, int part) {
    return Iq3Xxs::open_pair(
        group, u, part, 0.25f, [part](const uint8_t* block, auto n) __attribute__((always_inline)) {
          return S::template shift_right<28>(word<S>(block, 16 + n, part));
        });
  }
  template <int K>
  [[gnu::always_inline]] static I codes(const uint8_t* block, int64_t j, int part) {
    const I indices = word<S>(block, 2 * j + K / 4, part), signs = word<S>(block, 16 + j, part);
    if constexpr (S::looks_up_bytes) {
      const Quads<S> quads(iq3_xxs_planes, indices, indices);
      return signed_levels<S, 3, 4 * K>(iq3_xxs_levels, quads.template codes<K % 4>(),
                                        even_signs<S>(signs));
    } else {
      const I four = four_of<S>(quant::iq3_xxs_grid, field<S, 8 * (K % 4), 8>(indices));
      return signed_codes<S, 4 * (K % 2)>(iq3_xxs_zero, four,
                                          even_signs_of_one<S>(shifted<S, -7 * (K / 2)>(signs)));
    }
  }
};

// Words 2 j and 2 j + 1 for block j: the low bytes of 8 indices; 16 and 17: the high bit of each
// index; 18 to 25: 4 x 8 sign bits; 26: 4 bits of scale for every 32 columns.
template <class S>
struct Iq3S : CodebookFormat<S, 27, 8, 5, iq3_s_zero> {
  using I = typename S::I;
  [[gnu::always_inline]] static Unit<S, 8> open(const uint8_t* group, int64_t u, int part) {
    return Iq3S::open_pair(
        group, u, part, 1, [part](const uint8_t* block, auto n) __attribute__((always_inline)) {
          return field<S, 4 * n, 4>(word<S>(block, 26, part));
        });
  }
  template <int K>
  [[gnu::always_inline]] static I codes(const uint8_t* block, int64_t j, int part) {
    const I low = word<S>(block, 2 * j + K / 4, part), signs = word<S>(block, 18 + j, part);
    const I high = bits_at<S>(block, 16, 8 * j, part);
    if constexpr (S::looks_up_bytes) {
      const Quads<S> quads(iq3_s_planes, low, S::template spread<K / 4 * 4, 1>(high));
      return signed_levels<S, 3, 4 * K>(iq3_s_levels, quads.template codes<K % 4>(), signs);
    } else {
      const I index =
          S::bit_or(field<S, 8 * (K % 4), 8>(low), S::template shift_left<8>(field<S, K, 1>(high)));
      return signed_codes<S, 4 * K>(iq3_s_zero, four_of<S>(quant::iq3_s_grid, index), signs);
    }
  }
};

// ---- iq1: 8 ternary weights an index, moved by an eighth ----

// Words 0 to 7: the low bytes of 4 indices; 8 to 11: for each block the 3 high bits of 4 indices, 3
// bits of scale and the sign of the offset. Codes are 0 to 2, and m includes the offset.
template <class S>
struct Iq1S : CodebookFormat<S, 12, 8, 2, -1> {
  using I = typename S::I;
  [[gnu::always_inline]] static Unit<S, 8> open(const uint8_t* group, int64_t u, int part) {
    auto unit = Iq1S::open_pair(
        group, u, part, 1, [part](const uint8_t* block, auto n) __attribute__((always_inline)) {
          return field<S, 16 * (n % 2) + 12, 3>(word<S>(block, 8 + n / 2, part));
        });
    unroll<0, 8>([&](auto n) __attribute__((always_inline)) {
      const I down = field<S, 16 * (n % 2) + 15, 1>(word<S>(unit.codes, 8 + n / 2, part));
      const auto minus = S::fma(S::to_float(down), S::set(0.25f), S::set(0.875f));
      unit.m[n] = S::mul(unit.s[n], minus);
    });
    return unit;
  }
  template <int K>
  [[gnu::always_inline]] static I codes(const uint8_t* block, int64_t j, int part) {
    constexpr int octet = K / 2, half = K % 2;
    const I low = word<S>(block, j, part), high = bits_at<S>(block, 8, 16 * j, part);
    if constexpr (S::looks_up_bytes) {
      const Octets<S> octets(iq1_planes, low, S::template spread<0, 3>(high));
      return S::bit_and(octets.template codes<octet, half>(), S::set_byte(3));
    } else {
      const I index = S::bit_or(field<S, 8 * octet, 8>(low),
                                S::template shift_left<8>(field<S, 3 * octet, 3>(high)));
      return S::add_8(four_of<S, half>(quant::iq1_grid, index), S::set_byte(1));
    }
  }
};

// Words 0 to 7: the low bytes of 4 indices; 8 to 11: for each index its 3 high bits and the sign of
// the offset; 12 and 13: 4 x 12 bits of scales for every 16 columns and 4 bits of d.
template <class S>
struct Iq1M : CodebookFormat<S, 14, 16, 5, iq1_m_zero> {
  using I = typename S::I;
  [[gnu::always_inline]] static Unit<S, 16> open(const uint8_t* group, int64_t u, int part) {
    const uint8_t* block = group + u * Iq1M::unit_bytes;
    const I first = word<S>(block, 12, part), second = word<S>(block, 13, part);
    const I low = S::bit_or(field<S, 12, 4>(first),
                            S::template shift_left<4>(S::template shift_right<28>(first)));
    const I high = S::bit_or(field<S, 12, 4>(second),
                             S::template shift_left<4>(S::template shift_right<28>(second)));
    const auto d = S::from_f16(S::bit_or(low, S::template shift_left<8>(high)));
    return Iq1M::open_with(
        block, S::mul(d, S::set(0.125f)),
        [part](const uint8_t* words, auto n) __attribute__((always_inline)) {
          return field<S, 16 * (n / 4 % 2) + 3 * (n % 4), 3>(word<S>(words, 12 + n / 8, part));
        });
  }
  template <int K>
  [[gnu::always_inline]] static I codes(const uint8_t* block, int64_t j, int part) {
    constexpr int octet = K / 2, half = K % 2;
    const I low = word<S>(block, j, part), high = bits_at<S>(block, 8, 16 * j, part);
    if constexpr (S::looks_up_bytes) {
      const Octets<S> octets(iq1_planes, low, S::template spread<0, 4>(high));
      const I down = S::bit_or(S::template spread<4 * octet + 3 - 1, 0>(high), S::set_byte(~2));
      return S::select_not(S::set_byte(3 << 3), octets.template codes<octet, half, 3>(), down);
    } else {
      const I index = S::bit_or(field<S, 8 * octet, 8>(low),
                                S::template shift_left<8>(field<S, 4 * octet, 3>(high)));
      const I four = S::add_8(four_of<S, half>(quant::iq1_grid, index), S::set_byte(1));
      const I base = S::add_8(S::template shift_left<3>(four), S::set_byte(iq1_m_zero - 8));
      return S::plus_minus(base, S::set_byte(1), S::template repeat_byte<octet / 2>(high),
                           S::set_byte(8 << 4 * (octet % 2)));
    }
  }
};

}  // namespace
}  // namespace ktx::ops
