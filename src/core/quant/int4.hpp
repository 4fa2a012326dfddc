// The int4/G encoders of each ISA; private to core/quant.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ktx::quant::int4 {

// As in finite.hpp, which units compiled for one ISA must not include.
inline constexpr float largest_weight = 0x1p100f;
inline constexpr float smallest_group = 0x1p-100f;

/// Encoders of rows with groups of 32, 64 and 128. All ISAs store the same bytes.
struct Encoders {
  using Encode = void (*)(const float* in, std::byte* row, int64_t n) noexcept;
  Encode g32, g64, g128;
};

extern const Encoders baseline, avx2;

/// The fastest that this CPU runs.
const Encoders& best_encoders() noexcept;

}  // namespace ktx::quant::int4
