// q4_0, q4_1, q5_0, q5_1 and q8_0: ggml's formats with one scale a block of 32.
#include <algorithm>
#include <cmath>

#include "core/quant/blocks.hpp"
#include "core/quant/codecs.hpp"
#include "core/quant/finite.hpp"
#include "core/quant/half.hpp"
#include "core/quant/rows.hpp"

namespace ktx::quant {
namespace {

void q4_0_block(const BlockQ4_0& b, float* out) noexcept {
  const float d = f16_to_f32(b.d);
  for (int i = 0; i < 16; ++i) {
    out[i] = d * static_cast<float>((b.qs[i] & 15) - 8);
    out[i + 16] = d * static_cast<float>((b.qs[i] >> 4) - 8);
  }
}

void q4_1_block(const BlockQ4_1& b, float* out) noexcept {
  const float d = f16_to_f32(b.d), m = f16_to_f32(b.m);
  for (int i = 0; i < 16; ++i) {
    out[i] = d * static_cast<float>(b.qs[i] & 15) + m;
    out[i + 16] = d * static_cast<float>(b.qs[i] >> 4) + m;
  }
}

// The 32 codes of 5 bits; qh's four bytes are one little-endian word.
template <class Block>
void five_bit_codes(const Block& b, int (&codes)[32]) noexcept {
  uint32_t high;
  std::memcpy(&high, b.qh, sizeof(high));
  for (int i = 0; i < 16; ++i) {
    codes[i] = static_cast<int>((b.qs[i] & 15u) | (((high >> i) & 1u) << 4));
    codes[i + 16] = static_cast<int>((b.qs[i] >> 4) | (((high >> (i + 16)) & 1u) << 4));
  }
}

void q5_0_block(const BlockQ5_0& b, float* out) noexcept {
  const float d = f16_to_f32(b.d);
  int codes[32];
  five_bit_codes(b, codes);
  for (int i = 0; i < 32; ++i) out[i] = d * static_cast<float>(codes[i] - 16);
}

void q5_1_block(const BlockQ5_1& b, float* out) noexcept {
  const float d = f16_to_f32(b.d), m = f16_to_f32(b.m);
  int codes[32];
  five_bit_codes(b, codes);
  for (int i = 0; i < 32; ++i) out[i] = d * static_cast<float>(codes[i]) + m;
}

void q8_0_block(const BlockQ8_0& b, float* out) noexcept {
  const float d = f16_to_f32(b.d);
  for (int i = 0; i < 32; ++i) out[i] = d * static_cast<float>(b.qs[i]);
}

// Nearest integer, ties away from zero, without a call to round(), which would not vectorize.
int8_t round_away(float value) noexcept {
  const float magnitude = std::fabs(value);
  const int whole = static_cast<int>(magnitude);
  const int code = whole + (magnitude - static_cast<float>(whole) >= 0.5f ? 1 : 0);
  return static_cast<int8_t>(value < 0 ? -code : code);
}

}  // namespace

void decode_q4_0(const std::byte* row, float* out, int64_t n) noexcept {
  decode_blocks<BlockQ4_0, 32, q4_0_block>(row, out, n);
}

void decode_q4_1(const std::byte* row, float* out, int64_t n) noexcept {
  decode_blocks<BlockQ4_1, 32, q4_1_block>(row, out, n);
}

void decode_q5_0(const std::byte* row, float* out, int64_t n) noexcept {
  decode_blocks<BlockQ5_0, 32, q5_0_block>(row, out, n);
}

void decode_q5_1(const std::byte* row, float* out, int64_t n) noexcept {
  decode_blocks<BlockQ5_1, 32, q5_1_block>(row, out, n);
}

void decode_q8_0(const std::byte* row, float* out, int64_t n) noexcept {
  decode_blocks<BlockQ8_0, 32, q8_0_block>(row, out, n);
}

// d = absmax / 127 in f16, codes rounded half away from zero with the scale before its rounding:
// the published quantization, byte for byte.
void encode_q8_0(const float* in, std::byte* row, int64_t n) noexcept {
  for (int64_t begin = 0; begin < n; begin += 32, row += sizeof(BlockQ8_0)) {
    const float d = std::min(finite_absmax(in + begin, 32) / 127.0f, 65504.0f);
    const float inverse = d > 0 ? 1.0f / d : 0.0f;
    BlockQ8_0 block;
    block.d = f32_to_f16(d);
    for (int i = 0; i < 32; ++i) {
      block.qs[i] = round_away(clamp_code(in[begin + i] * inverse, 127.0f));
    }
    std::memcpy(row, &block, sizeof(block));
  }
}

}  // namespace ktx::quant
