// iq3_s and iq3_xxs: groups of 4 weights from a codebook.
#include "core/quant/blocks.hpp"
#include "core/quant/codecs.hpp"
#include "core/quant/half.hpp"
#include "core/quant/iq_grids.hpp"
#include "core/quant/iq_signs.hpp"
#include "core/quant/rows.hpp"

namespace ktx::quant {
namespace {

void iq3_s_block(const BlockIQ3S& b, float* out) noexcept {
  const float d = f16_to_f32(b.d);
  for (int sub = 0; sub < 8; ++sub) {
    const int scale = (b.scales[sub / 2] >> (sub % 2 * 4)) & 15;
    const float sub_scale = d * static_cast<float>(1 + 2 * scale);
    for (int k = 0; k < 8; ++k) {
      const unsigned index = b.qs[sub * 8 + k] | (((b.qh[sub] >> k) & 1u) << 8);
      const unsigned signs = b.signs[sub * 4 + k / 2] >> (k % 2 * 4);
      place_signed(iq3_s_grid[index], signs, sub_scale, out + sub * 32 + k * 4);
    }
  }
}

void iq3_xxs_block(const BlockIQ3XXS& b, float* out) noexcept {
  const float d = f16_to_f32(b.d);
  for (int sub = 0; sub < 8; ++sub) {
    const uint32_t word = load_u32(b.signs_scales + sub * 4);
    const float sub_scale = d * (0.5f + static_cast<float>(word >> 28)) * 0.5f;
    for (int k = 0; k < 8; ++k) {
      const unsigned signs = iq_signs[(word >> (k / 2 * 7)) & 127u] >> (k % 2 * 4);
      place_signed(iq3_xxs_grid[b.qs[sub * 8 + k]], signs, sub_scale, out + sub * 32 + k * 4);
    }
  }
}

}  // namespace

void decode_iq3_s(const std::byte* row, float* out, int64_t n) noexcept {
  decode_blocks<BlockIQ3S, super_block, iq3_s_block>(row, out, n);
}

void decode_iq3_xxs(const std::byte* row, float* out, int64_t n) noexcept {
  decode_blocks<BlockIQ3XXS, super_block, iq3_xxs_block>(row, out, n);
}

}  // namespace ktx::quant
