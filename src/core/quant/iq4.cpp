// iq4_nl and iq4_xs: 4-bit codes into a fixed table of 16 uneven levels.
#include "core/quant/blocks.hpp"
#include "core/quant/codecs.hpp"
#include "core/quant/half.hpp"
#include "core/quant/rows.hpp"

namespace ktx::quant {
namespace {

// 16 bytes: 16 low nibbles, then 16 high ones.
void levels(const uint8_t* codes, float scale, float* out) noexcept {
  for (int i = 0; i < 16; ++i) {
    out[i] = scale * static_cast<float>(iq4_values[codes[i] & 15]);
    out[i + 16] = scale * static_cast<float>(iq4_values[codes[i] >> 4]);
  }
}

void iq4_nl_block(const BlockIQ4NL& b, float* out) noexcept {
  levels(b.qs, f16_to_f32(b.d), out);
}

void iq4_xs_block(const BlockIQ4XS& b, float* out) noexcept {
  const float d = f16_to_f32(b.d);
  for (int sub = 0; sub < 8; ++sub) {
    const int low = (b.scales_l[sub / 2] >> (sub % 2 * 4)) & 15;
    const int scale = low | (((b.scales_h >> (2 * sub)) & 3) << 4);
    levels(b.qs + sub * 16, d * static_cast<float>(scale - 32), out + sub * 32);
  }
}

}  // namespace

void decode_iq4_nl(const std::byte* row, float* out, int64_t n) noexcept {
  decode_blocks<BlockIQ4NL, 32, iq4_nl_block>(row, out, n);
}

void decode_iq4_xs(const std::byte* row, float* out, int64_t n) noexcept {
  decode_blocks<BlockIQ4XS, super_block, iq4_xs_block>(row, out, n);
}

}  // namespace ktx::quant
