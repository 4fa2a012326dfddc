// Unpacking the 6-bit scales of the K formats.
//
// Always inlined, so that a unit compiled for one ISA leaves no weak copy for others to call.
#pragma once

#include <cstdint>

namespace ktx::quant {

/// The 6-bit scale and min of sub-block j (0..7) of a q4_k or q5_k block.
struct KScaleMin {
  uint8_t scale, min;
};

[[gnu::always_inline]] constexpr KScaleMin k_scale_min(const uint8_t (&scales)[12],
                                                       int j) noexcept {
  if (j < 4)
    return {static_cast<uint8_t>(scales[j] & 63), static_cast<uint8_t>(scales[j + 4] & 63)};
  const int low = scales[j + 4];
  return {static_cast<uint8_t>((low & 15) | ((scales[j - 4] >> 6) << 4)),
          static_cast<uint8_t>((low >> 4) | ((scales[j] >> 6) << 4))};
}

/// The 6-bit scale (0..63, meaning scale - 32) of sub-block j (0..15) of a q3_k block.
[[gnu::always_inline]] constexpr int q3_k_scale(const uint8_t (&scales)[12], int j) noexcept {
  const int low = j < 8 ? scales[j] & 15 : scales[j - 8] >> 4;
  return low | (((scales[8 + j % 4] >> (2 * (j / 4))) & 3) << 4);
}

}  // namespace ktx::quant
