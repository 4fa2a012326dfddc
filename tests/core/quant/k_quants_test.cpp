// q2_k .. q6_k.
#include "core/quant/blocks.hpp"
#include "core/quant/half.hpp"
#include "core/quant/k_scales.hpp"
#include "reference_blocks.hpp"

using namespace ktx::quant;

TEST_CASE("k_quants: every bit as the reference decodes it") {
  for (const Format format : {Format::q2_k, Format::q3_k, Format::q4_k, Format::q5_k, Format::q6_k})
    test::require_reference(format);
}

TEST_CASE("k_quants: 6-bit scales and minima come from their scattered bits") {
  // Scales 0..7 and minima 63..56, packed as published.
  const uint8_t packed[12] = {0, 1, 2, 3, 63, 62, 61, 60, 0xb4, 0xa5, 0x96, 0x87};
  uint8_t scales[12];
  for (int i = 0; i < 12; ++i)
    scales[i] = static_cast<uint8_t>(packed[i] | (i >= 4 && i < 8 ? 0xc0 : 0));
  for (int j = 0; j < 8; ++j) {
    INFO(j);
    CHECK(int{k_scale_min(scales, j).scale} == j);
    CHECK(int{k_scale_min(scales, j).min} == 63 - j);
  }
}

TEST_CASE("k_quants: q4_k by hand") {
  BlockQ4K block{};
  block.d = f32_to_f16(0.5f);
  block.dmin = f32_to_f16(0.25f);
  block.scales[0] = 3;  // sub-block 0: scale 3, min 2
  block.scales[4] = 2;
  block.qs[7] = 0xa9;  // weight 7: 9; weight 39: 10, in sub-block 1, whose scale and min are 0
  float out[256];
  info(Format::q4_k).decode(reinterpret_cast<const std::byte*>(&block), out, 256);
  CHECK(out[7] == 0.5f * 3 * 9 - 0.25f * 2);
  CHECK(out[8] == -0.5f);
  CHECK(out[39] == 0.0f);
}
