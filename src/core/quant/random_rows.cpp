// Random weights through the encoders; random bytes with their scales put right where there is
// none.
#include "core/quant/random_rows.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "core/quant/blocks.hpp"
#include "core/quant/half.hpp"

namespace ktx::quant {
namespace {

/// Knuth's MMIX generator; the upper half of the state is random enough.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) { next(); }
  uint32_t next() noexcept {
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    return static_cast<uint32_t>(state_ >> 32);
  }

 private:
  uint64_t state_;
};

/// Where the f16 scales of a format without encoder lie in a block.
struct Scales {
  Format format;
  size_t first;
  int count;
};
constexpr Scales f16_scales[] = {
    {Format::q4_0, offsetof(BlockQ4_0, d), 1},      {Format::q4_1, offsetof(BlockQ4_1, d), 2},
    {Format::q5_0, offsetof(BlockQ5_0, d), 1},      {Format::q5_1, offsetof(BlockQ5_1, d), 2},
    {Format::q2_k, offsetof(BlockQ2K, d), 2},       {Format::q3_k, offsetof(BlockQ3K, d), 1},
    {Format::q4_k, offsetof(BlockQ4K, d), 2},       {Format::q5_k, offsetof(BlockQ5K, d), 2},
    {Format::q6_k, offsetof(BlockQ6K, d), 1},       {Format::iq4_nl, offsetof(BlockIQ4NL, d), 1},
    {Format::iq4_xs, offsetof(BlockIQ4XS, d), 1},   {Format::iq3_s, offsetof(BlockIQ3S, d), 1},
    {Format::iq3_xxs, offsetof(BlockIQ3XXS, d), 1}, {Format::iq2_s, offsetof(BlockIQ2S, d), 1},
    {Format::iq2_xs, offsetof(BlockIQ2XS, d), 1},   {Format::iq2_xxs, offsetof(BlockIQ2XXS, d), 1},
    {Format::iq1_s, offsetof(BlockIQ1S, d), 1},
};

constexpr float scale = 0x1p-7f;
constexpr auto mxfp4_exponent = std::byte{121};  // of 2^-6, of which half is the scale

void encode_row(const FormatInfo& info, int64_t cols, Random& random, std::byte* row) {
  std::vector<float> values(static_cast<size_t>(cols));
  for (auto& value : values)
    value = (static_cast<float>(random.next()) * 0x1p-32f - 0.5f) * 0.07f;  // sqrt(12) / 50
  info.encode(values.data(), row, cols);
}

void mend_fp8(std::byte* block) noexcept {
  BlockFp8 b;
  std::memcpy(&b, block, sizeof b);
  b.scale = scale;
  for (auto& code : b.q)
    if ((code & 0x7f) == 0x7f) code ^= 1;  // NaN
  std::memcpy(block, &b, sizeof b);
}

/// Its f16 scale is spread over the top nibbles of four words, the topmost nibble last.
void mend_iq1_m(std::byte* block) noexcept {
  BlockIQ1M b;
  std::memcpy(&b, block, sizeof b);
  const uint16_t bits = f32_to_f16(scale);
  for (int i = 0; i < 4; ++i)
    b.scales[i] = static_cast<uint16_t>((b.scales[i] & 0x0fff) | (bits >> 4 * i & 15) << 12);
  std::memcpy(block, &b, sizeof b);
}

void mend_block(Format format, std::byte* block) noexcept {
  if (format == Format::fp8) return mend_fp8(block);
  if (format == Format::iq1_m) return mend_iq1_m(block);
  if (format == Format::mxfp4) block[offsetof(BlockMxfp4, e)] = mxfp4_exponent;
  const uint16_t bits = f32_to_f16(scale);
  for (const auto& scales : f16_scales)
    if (scales.format == format)
      for (int i = 0; i < scales.count; ++i)
        std::memcpy(block + scales.first + static_cast<size_t>(i) * 2, &bits, sizeof bits);
}

void random_codes(const FormatInfo& info, int64_t cols, Random& random, std::byte* row) noexcept {
  const int64_t bytes = row_bytes(info.format, cols);
  for (int64_t i = 0; i < bytes; ++i) row[i] = static_cast<std::byte>(random.next() >> 24);
  for (int64_t at = 0; at < bytes; at += info.block_bytes) mend_block(info.format, row + at);
}

}  // namespace

void fill_random_rows(Format format, int64_t rows, int64_t cols, uint64_t seed, std::byte* out) {
  const FormatInfo& format_info = info(format);
  Random random(seed);
  const int64_t bytes = row_bytes(format, cols);
  for (int64_t r = 0; r < rows; ++r, out += bytes)
    if (format_info.encode != nullptr)
      encode_row(format_info, cols, random, out);
    else
      random_codes(format_info, cols, random, out);
}

}  // namespace ktx::quant
