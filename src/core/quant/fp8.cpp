// fp8 rows: e4m3fn codes in blocks of 128 columns, each led by its f32 scale.
#include "core/quant/fp8.hpp"

#include <algorithm>
#include <cstring>
#include <limits>

#include "core/quant/blocks.hpp"
#include "core/quant/codecs.hpp"

namespace ktx::quant {
namespace {

constexpr float e4m3_value(unsigned code) {
  const unsigned exponent = (code >> 3) & 15u, mantissa = code & 7u;
  if (exponent == 15 && mantissa == 7) return std::numeric_limits<float>::quiet_NaN();
  // Subnormals are multiples of 2^-9; a normal number has its hidden bit and 2^(exponent - 7 - 3).
  float value = static_cast<float>(exponent == 0 ? mantissa : mantissa + 8) * 0x1p-9f;
  for (unsigned e = 1; e < exponent; ++e) value *= 2;
  return code & 0x80u ? -value : value;
}

constexpr std::array<float, 256> all_e4m3_values() {
  std::array<float, 256> values{};
  for (unsigned code = 0; code < 256; ++code) values[code] = e4m3_value(code);
  return values;
}

}  // namespace

alignas(64) constexpr std::array<float, 256> e4m3_values = all_e4m3_values();

void decode_fp8(const std::byte* row, float* out, int64_t n) noexcept {
  for (int64_t begin = 0; begin < n; begin += 128, row += sizeof(BlockFp8)) {
    BlockFp8 block;
    std::memcpy(&block, row, sizeof(block));
    const int64_t count = std::min<int64_t>(128, n - begin);
    for (int64_t i = 0; i < count; ++i) out[begin + i] = block.scale * e4m3_values[block.q[i]];
  }
}

}  // namespace ktx::quant
