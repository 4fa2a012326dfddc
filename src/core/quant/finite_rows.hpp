// Whether stored rows hold numbers at all: a damaged file's scales are often NaN or infinite.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/quant/format.hpp"

namespace ktx::quant {

/// Whether every weight of `rows` rows of `cols` weights is a finite number. Looks at the scales of
/// blocks and at the numbers of unblocked formats, nothing is decoded: as fast as memory.
bool are_finite(Format format, const std::byte* stored, int64_t rows, int64_t cols) noexcept;

}  // namespace ktx::quant
