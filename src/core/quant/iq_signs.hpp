// Placing a codebook entry with its signs; private to core/quant.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>

namespace ktx::quant {

/// out[i] = scale * entry[i], negated where bit i of signs is set.
template <size_t Width>
void place_signed(const std::array<int8_t, Width>& entry, unsigned signs, float scale,
                  float* out) noexcept {
  for (size_t i = 0; i < Width; ++i) {
    const float weight = scale * static_cast<float>(entry[i]);
    out[i] = (signs >> i) & 1u ? -weight : weight;
  }
}

inline uint32_t load_u32(const uint8_t* bytes) noexcept {
  uint32_t word;
  std::memcpy(&word, bytes, sizeof(word));
  return word;
}

}  // namespace ktx::quant
