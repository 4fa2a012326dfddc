// How the encoders meet weights that are not ordinary numbers; private to core/quant.
//
// NaN is stored as zero. Infinities, and finite weights above 2^100, get the largest code of their
// group and have no part in its scale. A group whose weights are all below 2^-100 is stored as
// zeros. So every product and square of the searches stays far inside f32's range.
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>

namespace ktx::quant {

inline constexpr float largest_weight = 0x1p100f;
inline constexpr float smallest_group = 0x1p-100f;

/// The largest magnitude of n weights that counts for a scale; 0 when there is none.
inline float finite_absmax(const float* in, int64_t n) noexcept {
  float lanes[16] = {};
  const auto widen = [](float most, float weight) {
    const float magnitude = std::fabs(weight);
    const float counted = magnitude <= largest_weight ? magnitude : 0.0f;
    return most > counted ? most : counted;
  };
  const int64_t whole = n / 16 * 16;
  for (int64_t i = 0; i < whole; i += 16)
    for (int k = 0; k < 16; ++k) lanes[k] = widen(lanes[k], in[i + k]);
  for (int64_t i = whole; i < n; ++i) lanes[0] = widen(lanes[0], in[i]);
  float most = 0;
  for (const float lane : lanes) most = most > lane ? most : lane;
  return most;
}

/// value in [-limit, limit]; 0 for NaN.
inline float clamp_code(float value, float limit) noexcept {
  const float number = value == value ? value : 0.0f;
  const float low = number > -limit ? number : -limit;
  return low < limit ? low : limit;
}

/// Nearest integer, ties to even, of |value| <= 2^21: after adding 1.5 * 2^23 it is in the low
/// bits.
inline int32_t nearest(float value) noexcept {
  constexpr float shift = 12582912.0f;
  return static_cast<int32_t>(std::bit_cast<uint32_t>(value + shift) -
                              std::bit_cast<uint32_t>(shift));
}

}  // namespace ktx::quant
