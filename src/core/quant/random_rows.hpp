// Rows of random weights in any format: for benchmarks, where values do not matter but must be
// sane.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/quant/format.hpp"

namespace ktx::quant {

/// Fills `rows` rows of `cols` weights, the same on every machine for one seed: of a format that
/// ktx can make, about uniform weights with a standard deviation of 1/50; of others random codes
/// with a finite scale of about 2^-7. Precondition: fits(format, cols).
void fill_random_rows(Format format, int64_t rows, int64_t cols, uint64_t seed, std::byte* out);

}  // namespace ktx::quant
