// int4/G encoding: the search for the scale that minimises a group's squared error; private to
// core/quant.
//
// Two passes, each trying 8 scales at once, one a vector lane, so that no lane ever waits for a
// horizontal sum:
//  1. 8 step sizes absmax/d, each with the extra level -8 on the negative and on the positive side.
//  For
//     codes q the best scale is S/Q, S = sum(w q), Q = sum(q q), and leaves the error sum(w w) -
//     S^2/Q; so the pair with the largest S^2/Q wins.
//  2. 8 bf16 numbers around the winner's S/Q, with the true error of codes rounded anew for each.
// On Gaussian weights the error is within 0.2 % of that of the best scale there is, and 16 lanes a
// pass would halve the speed for the rest.
//
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

constexpr int candidates = 8;

// absmax in steps. A group that already lies on a 4-bit grid is stored exactly: a largest code m of
// 5 to 8 has its codes from the d within half a step of m, and 1 to 4 from their multiples (4
// before the others, so that a tie leaves a scale that bf16 can hold).
constexpr float steps[candidates] = {4.0f, 5.2f, 6.4f, 7.2f, 7.9f, 8.6f, 9.4f, 10.4f};

// bf16 numbers from one candidate of the second pass to the next.
constexpr uint32_t stride = 2;

constexpr float round_shift =
    12582912.0f;  // 1.5 * 2^23: adding it rounds to an integer, ties to even

/// Width candidates at once.
template <int Width>
struct Lanes {
  typedef float Vector __attribute__((vector_size(4 * Width)));
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
  // The bits of magnitudes are ordered as integers.
  constexpr int32_t limit = __builtin_bit_cast(int32_t, int4::largest_weight);
  int32_t most = 0;
  for (int i = 0; i < G; ++i) {
    const int32_t magnitude = __builtin_bit_cast(int32_t, in[i]) & 0x7fffffff;
    const int32_t counted = magnitude <= limit ? magnitude : 0;
    most = most > counted ? most : counted;
  }
  group.absmax = __builtin_bit_cast(float, most);
  if (!(group.absmax >= int4::smallest_group)) return false;
  for (int i = 0; i < G; ++i) {
    const float scaled = in[i] / group.absmax;  // the largest becomes exactly 1
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
  using V = typename Lanes<Width>::Vector;
  float sums[2][candidates], squares[2][candidates], gains[2][candidates];
  for (int p = 0; p < candidates / Width; ++p) {
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
  using V = typename Lanes<Width>::Vector;
  constexpr uint32_t middle = candidates / 2;
  const float low = choice.mirrored ? -7.0f : -8.0f, high = choice.mirrored ? 8.0f : 7.0f;
  const uint32_t bits = __builtin_bit_cast(uint32_t, choice.scale * group.absmax);
  const uint32_t first = ((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16) - stride * middle;
  float scales[candidates], errors[candidates];
  for (uint32_t k = 0; k < candidates; ++k) {
    const float scale = __builtin_bit_cast(float, (first + stride * k) << 16);
    scales[k] = scale / group.absmax;
  }
  for (int p = 0; p < candidates / Width; ++p) {
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
  uint32_t best = middle;
  for (uint32_t k = 0; k < candidates; ++k)
    if (errors[k] < errors[best]) best = k;
  return static_cast<uint16_t>(first + stride * best);
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
