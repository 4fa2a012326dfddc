// int8 and int8/G: symmetric 8-bit codes with a scale a row (f32) or a group (bf16).
//
// A group's scale is absmax / 127 rounded to the nearest bf16. Rounding down moves the largest
// weight to at most 127 * (1 + 2^-8) = 127.5 steps, so that clipping to 127 costs no more than
// rounding does.
#include "core/quant/blocks.hpp"
#include "core/quant/codecs.hpp"
#include "core/quant/finite.hpp"
#include "core/quant/half.hpp"
#include "core/quant/rows.hpp"

namespace ktx::quant {
namespace {

// codes of n weights in steps of scale; all zero when scale is 0.
void codes_of(const float* in, float scale, int8_t* codes, int64_t n) noexcept {
  const float inverse = scale > 0 ? 1.0f / scale : 0.0f;
  for (int64_t i = 0; i < n; ++i)
    codes[i] = static_cast<int8_t>(nearest(clamp_code(in[i] * inverse, 127.0f)));
}

float absmax_scale(const float* in, int64_t n) noexcept {
  const float most = finite_absmax(in, n);
  return most >= smallest_group ? most / 127.0f : 0.0f;
}

template <class Block>
void decode_group(const Block& block, float* out) noexcept {
  const float scale = bf16_to_f32(block.scale);
  for (int i = 0; i < Block::weights; ++i) out[i] = scale * static_cast<float>(block.q[i]);
}

template <int G>
void encode_groups(const float* in, std::byte* row, int64_t n) noexcept {
  for (int64_t begin = 0; begin + G <= n; begin += G, row += sizeof(BlockInt8<G>)) {
    BlockInt8<G> block;
    block.scale = f32_to_bf16(absmax_scale(in + begin, G));
    codes_of(in + begin, bf16_to_f32(block.scale), block.q, G);
    std::memcpy(row, &block, sizeof(block));
  }
}

}  // namespace

void decode_int8(const std::byte* row, float* out, int64_t n) noexcept {
  float scale;
  std::memcpy(&scale, row, sizeof(scale));
  const auto* codes = reinterpret_cast<const int8_t*>(row + sizeof(scale));
  for (int64_t i = 0; i < n; ++i) out[i] = scale * static_cast<float>(codes[i]);
}

void encode_int8(const float* in, std::byte* row, int64_t n) noexcept {
  const float scale = absmax_scale(in, n);
  std::memcpy(row, &scale, sizeof(scale));
  codes_of(in, scale, reinterpret_cast<int8_t*>(row + sizeof(scale)), n);
}

void decode_int8_32(const std::byte* row, float* out, int64_t n) noexcept {
  decode_blocks<BlockInt8<32>, 32, decode_group>(row, out, n);
}

void decode_int8_64(const std::byte* row, float* out, int64_t n) noexcept {
  decode_blocks<BlockInt8<64>, 64, decode_group>(row, out, n);
}

void decode_int8_128(const std::byte* row, float* out, int64_t n) noexcept {
  decode_blocks<BlockInt8<128>, 128, decode_group>(row, out, n);
}

void encode_int8_32(const float* in, std::byte* row, int64_t n) noexcept {
  encode_groups<32>(in, row, n);
}

void encode_int8_64(const float* in, std::byte* row, int64_t n) noexcept {
  encode_groups<64>(in, row, n);
}

void encode_int8_128(const float* in, std::byte* row, int64_t n) noexcept {
  encode_groups<128>(in, row, n);
}

}  // namespace ktx::quant
