// How the encoders meet weights that are not ordinary numbers; private to core/quant.
//
// NaN is stored as zero. Infinities, and finite weights above 2^100, get the largest code of their
// group and have no part in its scale. A group whose weights are all below 2^-100 is stored as
// zeros. So every product and square of the searches stays far inside f32's range.
#pragma once

#include <bit>
#include <cstdint>

namespace ktx::quant {

inline constexpr float largest_weight = 0x1p100f;
inline constexpr float smallest_group = 0x1p-100f;

/// The largest magnitude of n weights that counts for a scale; 0 when there is none.
inline float finite_absmax(const float* in, int64_t n) noexcept {
  // As integers the bits of magnitudes are ordered, and their maximum vectorizes.
  constexpr int32_t limit = std::bit_cast<int32_t>(largest_weight);
  int32_t most = 0;
  for (int64_t i = 0; i < n; ++i) {
    const int32_t magnitude = std::bit_cast<int32_t>(in[i]) & 0x7fffffff;
    const int32_t counted = magnitude <= limit ? magnitude : 0;
    most = most > counted ? most : counted;
  }
  return std::bit_cast<float>(most);
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
