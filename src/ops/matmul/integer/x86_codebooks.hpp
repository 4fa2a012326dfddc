// Codebook look-ups of the IQ formats: 4 columns of each row at a time, as codes of one byte.
//
// Vectors that can look up bytes in registers (S::looks_up_bytes) hold a codebook as two planes:
// the low and the high bytes of the 16-bit codes of all entries. They look up 64 indices, 32
// columns of 16 rows, at once. Other vectors load the entries one by one, with an index in each
// 32-bit lane.
#pragma once

#include "core/quant/iq_codes.hpp"
#include "core/quant/iq_grids.hpp"
#include "ops/matmul/simd/x86_groups.hpp"

namespace ktx::ops {
namespace {

/// Byte b of the codes of a codebook's entries.
template <int Entries>
struct Planes {
  alignas(64) uint8_t of[2][Entries];
};
template <size_t Words>
constexpr Planes<4 * Words> planes_of(const uint64_t (&codes)[Words]) {
  Planes<4 * Words> planes{};
  for (uint32_t entry = 0; entry < 4 * Words; ++entry)
    for (int b = 0; b < 2; ++b)
      planes.of[b][entry] = static_cast<uint8_t>(quant::grid_code(codes, entry) >> 8 * b);
  return planes;
}

/// Codes of one byte by 6 bits: the magnitude's index, then the sign, then bits that are ignored.
struct Levels {
  alignas(64) uint8_t of[64];
};
template <size_t Values>
constexpr Levels levels_of(const int8_t (&values)[Values], int bits, int zero) {
  Levels levels{};
  for (size_t i = 0; i < 64; ++i) {
    const size_t value = i & ((1u << bits) - 1);
    const int magnitude = value < Values ? values[value] : 0;
    levels.of[i] = static_cast<uint8_t>((i >> bits & 1) != 0 ? zero - magnitude : zero + magnitude);
  }
  return levels;
}

constexpr auto iq2_xxs_planes = planes_of(quant::iq2_xxs_codes);
constexpr auto iq2_xs_planes = planes_of(quant::iq2_xs_codes);
constexpr auto iq2_s_planes = planes_of(quant::iq2_s_codes);
constexpr auto iq3_xxs_planes = planes_of(quant::iq3_xxs_codes);
constexpr auto iq3_s_planes = planes_of(quant::iq3_s_codes);

/// The code of weight 0: the smallest power of two above all magnitudes.
constexpr int iq2_zero = 64, iq3_xxs_zero = 64, iq3_s_zero = 16;
constexpr Levels iq2_levels = levels_of(quant::iq2_values, 2, iq2_zero);
constexpr Levels iq3_xxs_levels = levels_of(quant::iq3_xxs_values, 3, iq3_xxs_zero);
constexpr Levels iq3_s_levels = levels_of(quant::iq3_s_values, 3, iq3_s_zero);

/// The codebook of iq1. Its entries are sorted, so that among 16 neighbours the high byte changes
/// at most once: three look-ups in 128 entries find it, whereas the low byte takes sixteen.
struct Iq1Planes {
  alignas(64) uint8_t lower[2048];
  // For entries 16 b to 16 b + 15: the high byte of the first same[b] entries, and of the others.
  alignas(64) uint8_t first[128], last[128], same[128];
};
constexpr Iq1Planes iq1_planes = [] {
  constexpr auto planes = planes_of(quant::iq1_codes);
  Iq1Planes iq1{};
  for (int entry = 0; entry < 2048; ++entry) {
    const int b = entry / 16;
    iq1.lower[entry] = planes.of[0][entry];
    iq1.last[b] = planes.of[1][entry];
    if (entry % 16 == 0) iq1.first[b] = planes.of[1][entry];
    if (planes.of[1][entry] == iq1.first[b]) iq1.same[b] = static_cast<uint8_t>(entry % 16 + 1);
  }
  return iq1;
}();
static_assert([] {
  constexpr auto planes = planes_of(quant::iq1_codes);
  for (int entry = 0; entry < 2048; ++entry) {
    const int b = entry / 16;
    const bool is_first = entry % 16 < iq1_planes.same[b];
    if (planes.of[1][entry] != (is_first ? iq1_planes.first : iq1_planes.last)[b]) return false;
  }
  return true;
}());

/// iq1_m in eighths: 8 * (weight + 1), and 2 more where the offset does not point down.
constexpr int iq1_m_zero = 9;

// ---- with look-ups of bytes ----

/// A byte of each of 64 entries; `low` and `high` are the bytes of their indices.
template <class S, int Entries>
[[gnu::always_inline]] inline typename S::I look_up(const uint8_t* plane, typename S::I low,
                                                    typename S::I high) {
  if constexpr (Entries == 128) {
    return S::look_up_128(plane, low);
  } else {
    constexpr int half = Entries / 2, bit = __builtin_ctz(Entries) - 1;
    const auto upper = bit == 7 ? S::template has_bit<7>(low) : S::template has_bit<bit % 8>(high);
    return S::pick(upper, look_up<S, half>(plane + half, low, high),
                   look_up<S, half>(plane, low, high));
  }
}

template <class S>
[[gnu::always_inline]] inline typename S::I upper_byte(const Iq1Planes& planes, typename S::I low,
                                                       typename S::I high) {
  const auto fifteen = S::set_byte(15);
  const auto b =
      S::select(fifteen, S::template shift_right<4>(low), S::template shift_left<4>(high));
  const auto same = S::look_up_128(planes.same, b);
  return S::pick(S::at_least(S::bit_and(low, fifteen), same), S::look_up_128(planes.last, b),
                 S::look_up_128(planes.first, b));
}

/// Entries of 8 weights, of 32 columns: byte j of a lane of plane[h] has codes of 2 bits for
/// columns 8 j + 4 h and the next three.
template <class S>
struct Octets {
  typename S::I plane[2];

  template <int Entries>
  [[gnu::always_inline]] Octets(const Planes<Entries>& planes, typename S::I low,
                                typename S::I high)
      : plane{look_up<S, Entries>(planes.of[0], low, high),
              look_up<S, Entries>(planes.of[1], low, high)} {}
  [[gnu::always_inline]] Octets(const Iq1Planes& planes, typename S::I low, typename S::I high)
      : plane{look_up<S, 2048>(planes.lower, low, high), upper_byte<S>(planes, low, high)} {}
  /// Shifted to bit `To` of each byte; the other bits are undefined.
  template <int J, int H, int To = 0>
  [[gnu::always_inline]] typename S::I codes() const {
    return S::template spread<8 * J - To, 2>(plane[H]);
  }
};

/// Entries of 4 weights, of 16 columns: byte j of a lane has codes of 4 bits for columns 4 j and
/// the next in plane[0], for the two behind in plane[1].
template <class S>
struct Quads {
  typename S::I plane[2];

  template <int Entries>
  [[gnu::always_inline]] Quads(const Planes<Entries>& planes, typename S::I low, typename S::I high)
      : plane{look_up<S, Entries>(planes.of[0], low, high),
              look_up<S, Entries>(planes.of[1], low, high)} {}
  template <int J>
  [[gnu::always_inline]] typename S::I codes() const {
    return S::template spread_two<8 * J, 4>(plane[0], plane[1]);
  }
};

/// Codes of `Bits` bits, and above them bit Bit + i of the lane of `signs` in byte i, to levels.
template <class S, int Bits, int Bit>
[[gnu::always_inline]] inline typename S::I signed_levels(const Levels& levels, typename S::I codes,
                                                          typename S::I signs) {
  const auto above = S::template spread<Bit - Bits, 1>(signs);
  return S::look_up_64(levels.of, S::select(S::set_byte((1 << Bits) - 1), codes, above));
}

/// Byte j: the 8 sign bits for the 7 bits of the lane that begin at bit 7 j.
template <class S>
[[gnu::always_inline]] inline typename S::I even_signs(typename S::I words) {
  return S::look_up_128(reinterpret_cast<const uint8_t*>(&quant::iq_signs),
                        S::template spread<0, 7>(words));
}

// ---- with look-ups of expanded entries ----

/// Four columns of entry index[r] of a codebook: the H-th four of its weights.
template <class S, int H, size_t Entries>
[[gnu::always_inline]] inline typename S::I four_of(const quant::Grid<Entries, 8>& grid,
                                                    typename S::I index) {
  return S::look_up_8(&grid, index).of[H];
}
template <class S, size_t Entries>
[[gnu::always_inline]] inline typename S::I four_of(const quant::Grid<Entries, 4>& grid,
                                                    typename S::I index) {
  return S::look_up_4(&grid, index);
}

/// zero + magnitude, or zero - magnitude in byte i where bit Bit + i of the lane of `signs` is set.
template <class S, int Bit>
[[gnu::always_inline]] inline typename S::I signed_codes(int zero, typename S::I magnitudes,
                                                         typename S::I signs) {
  return S::plus_minus(S::set_byte(zero), magnitudes, S::template repeat_byte<Bit / 8>(signs),
                       S::set_int(0x08040201 << Bit % 8));
}

/// The lowest byte: the 8 sign bits for the lowest 7 bits of the lane.
template <class S>
[[gnu::always_inline]] inline typename S::I even_signs_of_one(typename S::I lane) {
  alignas(16) static constexpr uint8_t odd[16] = {0,    0x80, 0x80, 0,    0x80, 0,    0,    0x80,
                                                  0x80, 0,    0,    0x80, 0,    0x80, 0x80, 0};
  const auto seven = S::bit_and(lane, S::set_int(127));
  const auto folded = S::bit_xor(seven, S::template shift_right<4>(seven));
  return S::bit_or(seven, S::look_up(odd, S::bit_and(folded, S::set_int(15))));
}

}  // namespace
}  // namespace ktx::ops
