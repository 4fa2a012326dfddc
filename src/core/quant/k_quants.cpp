// q2_k .. q6_k: ggml's formats with super-blocks of 256 and quantized scales of sub-blocks.
#include "core/quant/blocks.hpp"
#include "core/quant/codecs.hpp"
#include "core/quant/half.hpp"
#include "core/quant/k_scales.hpp"
#include "core/quant/rows.hpp"

namespace ktx::quant {
namespace {

// 32 bytes hold the 2-bit codes of 128 weights: pair p of a byte's bits belongs to weights
// 32p..32p+31.
void q2_k_block(const BlockQ2K& b, float* out) noexcept {
  const float d = f16_to_f32(b.d), dmin = f16_to_f32(b.dmin);
  for (int sub = 0; sub < 16; ++sub) {
    const uint8_t* codes = b.qs + (sub / 8) * 32 + (sub % 2) * 16;
    const int shift = (sub % 8) / 2 * 2;
    const float scale = d * static_cast<float>(b.scales[sub] & 15);
    const float min = dmin * static_cast<float>(b.scales[sub] >> 4);
    for (int i = 0; i < 16; ++i)
      out[sub * 16 + i] = scale * static_cast<float>((codes[i] >> shift) & 3) - min;
  }
}

void q3_k_block(const BlockQ3K& b, float* out) noexcept {
  const float d = f16_to_f32(b.d);
  for (int sub = 0; sub < 16; ++sub) {
    const uint8_t* codes = b.qs + (sub / 8) * 32 + (sub % 2) * 16;
    const uint8_t* mask = b.hmask + (sub % 2) * 16;
    const int shift = (sub % 8) / 2 * 2, bit = sub / 2;
    const float scale = d * static_cast<float>(q3_k_scale(b.scales, sub) - 32);
    for (int i = 0; i < 16; ++i) {
      const int code = ((codes[i] >> shift) & 3) + (((mask[i] >> bit) & 1) << 2);
      out[sub * 16 + i] = scale * static_cast<float>(code - 4);
    }
  }
}

// 32 bytes hold two sub-blocks: the low nibbles, then the high ones.
void q4_k_block(const BlockQ4K& b, float* out) noexcept {
  const float d = f16_to_f32(b.d), dmin = f16_to_f32(b.dmin);
  for (int pair = 0; pair < 4; ++pair, out += 64) {
    const uint8_t* codes = b.qs + pair * 32;
    const auto [low_scale, low_min] = k_scale_min(b.scales, 2 * pair);
    const auto [high_scale, high_min] = k_scale_min(b.scales, 2 * pair + 1);
    const float d0 = d * static_cast<float>(low_scale), m0 = dmin * static_cast<float>(low_min);
    const float d1 = d * static_cast<float>(high_scale), m1 = dmin * static_cast<float>(high_min);
    for (int i = 0; i < 32; ++i) out[i] = d0 * static_cast<float>(codes[i] & 15) - m0;
    for (int i = 0; i < 32; ++i) out[32 + i] = d1 * static_cast<float>(codes[i] >> 4) - m1;
  }
}

void q5_k_block(const BlockQ5K& b, float* out) noexcept {
  const float d = f16_to_f32(b.d), dmin = f16_to_f32(b.dmin);
  for (int sub = 0; sub < 8; ++sub) {
    const uint8_t* codes = b.qs + (sub / 2) * 32;
    const int shift = (sub % 2) * 4;
    const auto [sub_scale, sub_min] = k_scale_min(b.scales, sub);
    const float scale = d * static_cast<float>(sub_scale);
    const float min = dmin * static_cast<float>(sub_min);
    for (int i = 0; i < 32; ++i) {
      const int code = ((codes[i] >> shift) & 15) | (((b.qh[i] >> sub) & 1) << 4);
      out[sub * 32 + i] = scale * static_cast<float>(code) - min;
    }
  }
}

// A half of 128 weights: quarter q takes low bits from ql[(q%2)*32 + i], nibble q/2, high bits from
// pair q of qh[i].
void q6_k_block(const BlockQ6K& b, float* out) noexcept {
  const float d = f16_to_f32(b.d);
  for (int sub = 0; sub < 16; ++sub) {
    const int half = sub / 8, quarter = (sub % 8) / 2, start = (sub % 2) * 16;
    const uint8_t* low = b.ql + half * 64 + (quarter % 2) * 32 + start;
    const uint8_t* high = b.qh + half * 32 + start;
    const int low_shift = quarter / 2 * 4, high_shift = quarter * 2;
    const float scale = d * static_cast<float>(b.scales[sub]);
    for (int i = 0; i < 16; ++i) {
      const int code = ((low[i] >> low_shift) & 15) | (((high[i] >> high_shift) & 3) << 4);
      out[sub * 16 + i] = scale * static_cast<float>(code - 32);
    }
  }
}

}  // namespace

void decode_q2_k(const std::byte* row, float* out, int64_t n) noexcept {
  decode_blocks<BlockQ2K, super_block, q2_k_block>(row, out, n);
}

void decode_q3_k(const std::byte* row, float* out, int64_t n) noexcept {
  decode_blocks<BlockQ3K, super_block, q3_k_block>(row, out, n);
}

void decode_q4_k(const std::byte* row, float* out, int64_t n) noexcept {
  decode_blocks<BlockQ4K, super_block, q4_k_block>(row, out, n);
}

void decode_q5_k(const std::byte* row, float* out, int64_t n) noexcept {
  decode_blocks<BlockQ5K, super_block, q5_k_block>(row, out, n);
}

void decode_q6_k(const std::byte* row, float* out, int64_t n) noexcept {
  decode_blocks<BlockQ6K, super_block, q6_k_block>(row, out, n);
}

}  // namespace ktx::quant
