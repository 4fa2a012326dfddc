// mxfp4: the 4-bit float e2m1 with one power of two a block, of the OCP microscaling formats.
#include "core/quant/blocks.hpp"
#include "core/quant/codecs.hpp"
#include "core/quant/rows.hpp"

namespace ktx::quant {
namespace {

void mxfp4_block(const BlockMxfp4& b, float* out) noexcept {
  const float scale = mxfp4_scale(b.e);
  for (int i = 0; i < 16; ++i) {
    out[i] = scale * static_cast<float>(mxfp4_values[b.qs[i] & 15]);
    out[i + 16] = scale * static_cast<float>(mxfp4_values[b.qs[i] >> 4]);
  }
}

}  // namespace

void decode_mxfp4(const std::byte* row, float* out, int64_t n) noexcept {
  decode_blocks<BlockMxfp4, 32, mxfp4_block>(row, out, n);
}

}  // namespace ktx::quant
