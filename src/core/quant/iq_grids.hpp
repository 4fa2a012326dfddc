// Codebooks of the IQ formats: an index stands for the magnitudes of 4 or 8 weights.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace ktx::quant {

template <size_t Entries, size_t Width>
using Grid = std::array<std::array<int8_t, Width>, Entries>;

/// An entry is one aligned 8-byte (4-byte for iq3) word for kernels that gather.
extern const Grid<256, 8> iq2_xxs_grid;
extern const Grid<512, 8> iq2_xs_grid;
extern const Grid<1024, 8> iq2_s_grid;
extern const Grid<256, 4> iq3_xxs_grid;
extern const Grid<512, 4> iq3_s_grid;
extern const Grid<2048, 8> iq1_grid;  // of iq1_s and iq1_m; -1, 0, 1

/// The 8 sign bits that 7 stored ones stand for: the eighth makes the number of set bits even.
extern const std::array<uint8_t, 128> iq_signs;

}  // namespace ktx::quant
