// fp8 rows: e4m3fn codes in blocks of 128 columns, each led by its f32 scale.
#include "core/quant/fp8.hpp"

#include <algorithm>
#include <cstring>

#include "core/quant/blocks.hpp"
#include "core/quant/codecs.hpp"

namespace ktx::quant {
namespace {

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
