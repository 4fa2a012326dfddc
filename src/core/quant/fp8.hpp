// The 8-bit float e4m3fn: 4 exponent bits (bias 7), 3 mantissa bits, no infinity, NaN at 0x7f and
// 0xff.
#pragma once

#include <array>
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

}  // namespace ktx::quant
