// iq2_s, iq2_xs and iq2_xxs: groups of 8 weights from a codebook.
#include "core/quant/blocks.hpp"
#include "core/quant/codecs.hpp"
#include "core/quant/half.hpp"
#include "core/quant/iq_grids.hpp"
#include "core/quant/iq_signs.hpp"
#include "core/quant/rows.hpp"

namespace ktx::quant {
namespace {

// Scale of 16 weights (iq2_s, iq2_xs) or 32 (iq2_xxs) from its 4 bits.
float sub_scale(float d, unsigned scale) noexcept {
  return d * (0.5f + static_cast<float>(scale)) * 0.25f;
}

// Group g (0..31) of 8 weights has the nibble g/2 of scales.
template <class Block>
float group_scale(const Block& b, float d, int g) noexcept {
  return sub_scale(d, (b.scales[g / 4] >> (g / 2 % 2 * 4)) & 15u);
}

void iq2_s_block(const BlockIQ2S& b, float* out) noexcept {
  const float d = f16_to_f32(b.d);
  for (int g = 0; g < 32; ++g) {
    const unsigned index = b.qs[g] | (((b.qh[g / 4] >> (g % 4 * 2)) & 3u) << 8);
    place_signed(iq2_s_grid[index], b.signs[g], group_scale(b, d, g), out + g * 8);
  }
}

void iq2_xs_block(const BlockIQ2XS& b, float* out) noexcept {
  const float d = f16_to_f32(b.d);
  for (int g = 0; g < 32; ++g) {
    const unsigned code = b.qs[g];
    place_signed(iq2_xs_grid[code & 511u], iq_signs[code >> 9], group_scale(b, d, g), out + g * 8);
  }
}

void iq2_xxs_block(const BlockIQ2XXS& b, float* out) noexcept {
  const float d = f16_to_f32(b.d);
  for (int sub = 0; sub < 8; ++sub) {
    const uint32_t word = load_u32(b.qs + sub * 8 + 4);
    for (int k = 0; k < 4; ++k) {
      const unsigned signs = iq_signs[(word >> (k * 7)) & 127u];
      place_signed(iq2_xxs_grid[b.qs[sub * 8 + k]], signs, sub_scale(d, word >> 28),
                   out + sub * 32 + k * 8);
    }
  }
}

}  // namespace

void decode_iq2_s(const std::byte* row, float* out, int64_t n) noexcept {
  decode_blocks<BlockIQ2S, super_block, iq2_s_block>(row, out, n);
}

void decode_iq2_xs(const std::byte* row, float* out, int64_t n) noexcept {
  decode_blocks<BlockIQ2XS, super_block, iq2_xs_block>(row, out, n);
}

void decode_iq2_xxs(const std::byte* row, float* out, int64_t n) noexcept {
  decode_blocks<BlockIQ2XXS, super_block, iq2_xxs_block>(row, out, n);
}

}  // namespace ktx::quant
