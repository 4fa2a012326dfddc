// The 8-bit float e4m3fn: 4 exponent bits (bias 7), 3 mantissa bits, no infinity, NaN at 0x7f and
// 0xff.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <limits>

namespace ktx::quant {

/// The value of a code, exact: for tables, made while compiling.
constexpr float e4m3_value(unsigned code) {
  const unsigned exponent = (code >> 3) & 15u, mantissa = code & 7u;
  if (exponent == 15 && mantissa == 7) return std::numeric_limits<float>::quiet_NaN();
  // Subnormals are multiples of 2^-9; a normal number has its hidden bit and 2^(exponent - 7 - 3).
  float value = static_cast<float>(exponent == 0 ? mantissa : mantissa + 8) * 0x1p-9f;
  for (unsigned e = 1; e < exponent; ++e) value *= 2;
  return code & 0x80u ? -value : value;
}

/// The value of each of the 256 codes, as f32 (exact). 448 is the largest.
extern const std::array<float, 256> e4m3_values;

/// The code of the nearest value, of two the even code; 448 for all beyond; NaN stays NaN.
inline uint8_t e4m3_code(float x) noexcept {
  const uint32_t bits = std::bit_cast<uint32_t>(x);
  const auto sign = static_cast<uint8_t>(bits >> 24 & 0x80u);
  const uint32_t magnitude = bits & 0x7fffffffu;
  if (magnitude > 0x7f800000u) return sign | 0x7fu;
  if (magnitude >= 0x43e00000u) return sign | 0x7eu;  // 448 and beyond
  if (magnitude < 0x3c800000u) {  // below 2^-6: f32 addition rounds to multiples of 2^-9
    const float shifted = std::bit_cast<float>(magnitude) + 0x1p14f;
    return static_cast<uint8_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x46800000u));
  }
  const uint32_t rounded = magnitude + 0x7ffffu + (magnitude >> 20 & 1u);
  return static_cast<uint8_t>(sign | (rounded - 0x3c000000u) >> 20);
}

}  // namespace ktx::quant
