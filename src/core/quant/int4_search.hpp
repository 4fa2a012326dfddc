// int4/G encoding: the search for the scale that minimises a group's squared error; private to
// core/quant.
//
// Two passes, each trying 16 scales at once, one a vector lane, so that no lane ever waits for a
// horizontal sum:
//  1. 16 step sizes absmax/d, each with the extra level -8 on the negative and on the positive
//  side. For
//     codes q the best scale is S/Q, S = sum(w q), Q = sum(q q), and leaves the error sum(w w) -
//     S^2/Q; so the pair with the largest S^2/Q wins.
//  2. The 16 bf16 numbers around the winner's S/Q, with the true error of codes rounded anew for
//  each.
// Included by one unit per ISA: everything is in an anonymous namespace, and nothing here calls
// inline functions of other headers. Each lane does the same sums in the same order whatever the
// vector's width, without fused multiply-adds, so that every ISA stores the same bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "core/quant/blocks.hpp"
#include "core/quant/int4.hpp"

namespace ktx::quant {
namespace {

constexpr int candidates = 16;

// absmax in steps. Integers up to 8 are there so that a group that already lies on a 4-bit grid,
// whatever its largest code, is stored exactly (4 and less by way of their multiples).
constexpr float steps[candidates] = {5.0f, 6.0f, 7.0f,  7.3f,  7.6f,  8.0f,  8.4f,  8.8f,
                                     9.2f, 9.7f, 10.2f, 10.8f, 11.5f, 12.3f, 13.3f, 14.5f};

constexpr float round_shift =
    12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer, ties to even

/// 16 floats as vectors of the unit's width.
template <int Width>
struct Lanes {
  static constexpr int parts = candidates / Width;
  typedef float Vector __attribute__((vector_size(4 * Width)));
  Vector part[parts];
};

template <class V>
[[gnu::always_inline]] inline V between(V value, float low, float high) noexcept {
  const V lows = low - V{}, highs = high - V{};
  const V raised = value > lows ? value : lows;
  return raised < highs ? raised : highs;
}

/// A group scaled to [-1, 1], and by what.
template <int G>
struct UnitGroup {
  float x[G];
  float absmax;
};

template <int G>
[[gnu::always_inline]] inline bool to_unit(const float* in, UnitGroup<G>& group) noexcept {
  float lanes[16] = {};
  for (int i = 0; i < G; i += 16)
    for (int k = 0; k < 16; ++k) {
      const float magnitude = in[i + k] < 0 ? -in[i + k] : in[i + k];
      const float counted = magnitude <= int4::largest_weight ? magnitude : 0.0f;
      lanes[k] = lanes[k] > counted ? lanes[k] : counted;
    }
  group.absmax = 0;
  for (const float lane : lanes) group.absmax = group.absmax > lane ? group.absmax : lane;
  if (!(group.absmax >= int4::smallest_group)) return false;
  const float inverse = 1.0f / group.absmax;
  for (int i = 0; i < G; ++i) {
    const float scaled = in[i] * inverse;
    const float number = scaled == scaled ? scaled : 0.0f;
    const float low = number > -1.0f ? number : -1.0f;
    group.x[i] = low < 1.0f ? low : 1.0f;
  }
  return true;
}

/// Levels -8..7 of scale, or (mirrored) -7..8.
struct Choice {
  float scale;
  bool mirrored;
};

template <int Width, int G>
[[gnu::always_inline]] inline Choice coarse(const UnitGroup<G>& group) noexcept {
  using L = Lanes<Width>;
  using V = typename L::Vector;
  float sums[2][candidates], squares[2][candidates], gains[2][candidates];
  for (int p = 0; p < L::parts; ++p) {
    V step, s0{}, q0{}, s1{}, q1{};
    std::memcpy(&step, steps + p * Width, sizeof(step));
    for (int i = 0; i < G; ++i) {
      const V code = (step * group.x[i] + round_shift) - round_shift;
      const V down = between(code, -8.0f, 7.0f), up = between(code, -7.0f, 8.0f);
      s0 += down * group.x[i];
      q0 += down * down;
      s1 += up * group.x[i];
      q1 += up * up;
    }
    // Q >= 1: the largest weight's code is not zero.
    const V gain0 = s0 * s0 / q0, gain1 = s1 * s1 / q1;
    const V all[6] = {s0, s1, q0, q1, gain0, gain1};
    for (int mirrored = 0; mirrored < 2; ++mirrored) {
      std::memcpy(sums[mirrored] + p * Width, &all[mirrored], sizeof(V));
      std::memcpy(squares[mirrored] + p * Width, &all[2 + mirrored], sizeof(V));
      std::memcpy(gains[mirrored] + p * Width, &all[4 + mirrored], sizeof(V));
    }
  }
  int best = 0;
  for (int i = 1; i < 2 * candidates; ++i)
    if (gains[i / candidates][i % candidates] > gains[best / candidates][best % candidates])
      best = i;
  const int side = best / candidates, lane = best % candidates;
  return {sums[side][lane] / squares[side][lane], side == 1};
}

template <int Width, int G>
[[gnu::always_inline]] inline uint16_t fine(const UnitGroup<G>& group, Choice choice) noexcept {
  using L = Lanes<Width>;
  using V = typename L::Vector;
  const float low = choice.mirrored ? -7.0f : -8.0f, high = choice.mirrored ? 8.0f : 7.0f;
  const uint32_t bits = __builtin_bit_cast(uint32_t, choice.scale * group.absmax);
  const uint32_t first = ((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16) - candidates / 2;
  float scales[candidates], errors[candidates];
  for (uint32_t k = 0; k < candidates; ++k) {
    const float scale = __builtin_bit_cast(float, (first + k) << 16);
    scales[k] = scale / group.absmax;
  }
  for (int p = 0; p < L::parts; ++p) {
    V scale, error{};
    std::memcpy(&scale, scales + p * Width, sizeof(scale));
    const V inverse = 1.0f / scale;
    for (int i = 0; i < G; ++i) {
      const V code = (inverse * group.x[i] + round_shift) - round_shift;
      const V miss = group.x[i] - scale * between(code, low, high);
      error += miss * miss;
    }
    std::memcpy(errors + p * Width, &error, sizeof(error));
  }
  uint32_t best = candidates / 2;
  for (uint32_t k = 0; k < candidates; ++k)
    if (errors[k] < errors[best]) best = k;
  return static_cast<uint16_t>(first + best);
}

template <int G>
[[gnu::always_inline]] inline void pack(const UnitGroup<G>& group, uint16_t scale, bool mirrored,
                                        BlockInt4<G>& block) noexcept {
  const float magnitude = __builtin_bit_cast(float, static_cast<uint32_t>(scale) << 16);
  const float inverse = 1.0f / (magnitude / group.absmax);
  // Codes of a mirrored group count down: its scale is negative.
  const float turned = mirrored ? -inverse : inverse;
  uint8_t codes[G];
  for (int i = 0; i < G; ++i) {
    const float code = turned * group.x[i];
    const float raised = code > -8.0f ? code : -8.0f;
    const float held = raised < 7.0f ? raised : 7.0f;
    codes[i] = static_cast<uint8_t>(__builtin_bit_cast(uint32_t, held + round_shift) + 8u);
  }
  for (int i = 0; i < G / 2; ++i)
    block.q[i] = static_cast<uint8_t>(codes[i] | (codes[i + G / 2] << 4));
  block.scale = static_cast<uint16_t>(scale | (mirrored ? 0x8000u : 0u));
}

template <int Width, int G>
void encode_groups(const float* in, std::byte* row, int64_t n) noexcept {
  for (int64_t begin = 0; begin + G <= n; begin += G, row += sizeof(BlockInt4<G>)) {
    BlockInt4<G> block;
    UnitGroup<G> group;
    if (to_unit(in + begin, group)) {
      const Choice choice = coarse<Width>(group);
      pack(group, fine<Width>(group, choice), choice.mirrored, block);
    } else {
      block.scale = 0;
      std::memset(block.q, 0x88, sizeof(block.q));
    }
    std::memcpy(row, &block, sizeof(block));
  }
}

template <int Width>
constexpr int4::Encoders encoders_of_width{encode_groups<Width, 32>, encode_groups<Width, 64>,
                                           encode_groups<Width, 128>};

}  // namespace
}  // namespace ktx::quant
