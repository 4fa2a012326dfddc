// The 8-bit float e4m3fn: 4 exponent bits (bias 7), 3 mantissa bits, no infinity, NaN at 0x7f and
// 0xff.
#pragma once

#include <array>
#include <cstdint>

namespace ktx::quant {

/// The value of each of the 256 codes, as f32 (exact). 448 is the largest.
extern const std::array<float, 256> e4m3_values;

}  // namespace ktx::quant
