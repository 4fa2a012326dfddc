// The codebooks of the IQ formats, expanded at compile time from their 16-bit codes.
#include "core/quant/iq_grids.hpp"

#include <bit>

#include "core/quant/iq_codes.hpp"

namespace ktx::quant {
namespace {

template <size_t Width, size_t Words, size_t Values>
constexpr Grid<4 * Words, Width> expand(const uint64_t (&words)[Words],
                                        const int8_t (&values)[Values]) {
  constexpr size_t bits = 16 / Width;
  Grid<4 * Words, Width> grid{};
  for (size_t entry = 0; entry < grid.size(); ++entry) {
    const uint32_t code = grid_code(words, static_cast<uint32_t>(entry));
    for (size_t i = 0; i < Width; ++i)
      grid[entry][i] = values[(code >> (bits * i)) & ((1u << bits) - 1)];
  }
  return grid;
}

constexpr std::array<uint8_t, 128> even_signs() {
  std::array<uint8_t, 128> signs{};
  for (unsigned i = 0; i < signs.size(); ++i)
    signs[i] = static_cast<uint8_t>(i | ((std::popcount(i) & 1u) << 7));
  return signs;
}

}  // namespace

alignas(64) constexpr Grid<256, 8> iq2_xxs_grid = expand<8>(iq2_xxs_codes, iq2_values);
alignas(64) constexpr Grid<512, 8> iq2_xs_grid = expand<8>(iq2_xs_codes, iq2_values);
alignas(64) constexpr Grid<1024, 8> iq2_s_grid = expand<8>(iq2_s_codes, iq2_values);
alignas(64) constexpr Grid<256, 4> iq3_xxs_grid = expand<4>(iq3_xxs_codes, iq3_xxs_values);
alignas(64) constexpr Grid<512, 4> iq3_s_grid = expand<4>(iq3_s_codes, iq3_s_values);
alignas(64) constexpr Grid<2048, 8> iq1_grid = expand<8>(iq1_codes, iq1_values);
alignas(64) constexpr std::array<uint8_t, 128> iq_signs = even_signs();

}  // namespace ktx::quant
