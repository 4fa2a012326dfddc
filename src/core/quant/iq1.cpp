// iq1_s and iq1_m: groups of 8 ternary weights from a codebook, moved by an offset of 1/8.
#include "core/quant/blocks.hpp"
#include "core/quant/codecs.hpp"
#include "core/quant/half.hpp"
#include "core/quant/iq_grids.hpp"
#include "core/quant/rows.hpp"

namespace ktx::quant {
namespace {

void place_moved(const std::array<int8_t, 8>& entry, bool down, float scale, float* out) noexcept {
  const float offset = down ? -0.125f : 0.125f;
  for (size_t i = 0; i < 8; ++i) out[i] = scale * (static_cast<float>(entry[i]) + offset);
}

void iq1_s_block(const BlockIQ1S& b, float* out) noexcept {
  const float d = f16_to_f32(b.d);
  for (int sub = 0; sub < 8; ++sub) {
    const unsigned high = b.qh[sub];
    const float scale = d * static_cast<float>(2 * ((high >> 12) & 7u) + 1);
    for (int k = 0; k < 4; ++k) {
      const unsigned index = b.qs[sub * 4 + k] | (((high >> (3 * k)) & 7u) << 8);
      place_moved(iq1_grid[index], (high & 0x8000u) != 0, scale, out + sub * 32 + k * 8);
    }
  }
}

void iq1_m_block(const BlockIQ1M& b, float* out) noexcept {
  unsigned d_bits = 0;
  for (int i = 0; i < 4; ++i) d_bits |= (b.scales[i] >> 12u) << (4 * i);
  const float d = f16_to_f32(static_cast<uint16_t>(d_bits));
  for (int g = 0; g < 32; ++g) {
    const unsigned high = (b.qh[g / 2] >> (g % 2 * 4)) & 15u;
    const unsigned index = b.qs[g] | ((high & 7u) << 8);
    const unsigned sub_scale = (b.scales[g / 8] >> (g / 2 % 4 * 3)) & 7u;
    const float scale = d * static_cast<float>(2 * sub_scale + 1);
    place_moved(iq1_grid[index], (high & 8u) != 0, scale, out + g * 8);
  }
}

}  // namespace

void decode_iq1_s(const std::byte* row, float* out, int64_t n) noexcept {
  decode_blocks<BlockIQ1S, super_block, iq1_s_block>(row, out, n);
}

void decode_iq1_m(const std::byte* row, float* out, int64_t n) noexcept {
  decode_blocks<BlockIQ1M, super_block, iq1_m_block>(row, out, n);
}

}  // namespace ktx::quant
