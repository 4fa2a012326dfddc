// int4/G: 4-bit codes with a bf16 scale a group, chosen for the least squared error.
#include "core/quant/int4.hpp"

#include <cpuid.h>

#include "core/quant/blocks.hpp"
#include "core/quant/codecs.hpp"
#include "core/quant/half.hpp"
#include "core/quant/int4_search.hpp"
#include "core/quant/rows.hpp"

namespace ktx::quant {
namespace {

template <class Block>
void decode_group(const Block& block, float* out) noexcept {
  constexpr int half = Block::weights / 2;
  const float scale = bf16_to_f32(block.scale);
  for (int i = 0; i < half; ++i) {
    out[i] = scale * static_cast<float>((block.q[i] & 15) - 8);
    out[i + half] = scale * static_cast<float>((block.q[i] >> 4) - 8);
  }
}

// Clang's __builtin_cpu_supports does not know f16c before 17.
bool has_f16c() noexcept {
  unsigned a = 0, b = 0, c = 0, d = 0;
  return __get_cpuid(1, &a, &b, &c, &d) != 0 && (c & bit_F16C) != 0;
}

}  // namespace

namespace int4 {

constexpr Encoders baseline = encoders_of_width<4>;

const Encoders& best_encoders() noexcept {
  static const bool has_avx2 =
      __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && has_f16c();
  return has_avx2 ? avx2 : baseline;
}

}  // namespace int4

void decode_int4_32(const std::byte* row, float* out, int64_t n) noexcept {
  decode_blocks<BlockInt4<32>, 32, decode_group>(row, out, n);
}

void decode_int4_64(const std::byte* row, float* out, int64_t n) noexcept {
  decode_blocks<BlockInt4<64>, 64, decode_group>(row, out, n);
}

void decode_int4_128(const std::byte* row, float* out, int64_t n) noexcept {
  decode_blocks<BlockInt4<128>, 128, decode_group>(row, out, n);
}

void encode_int4_32(const float* in, std::byte* row, int64_t n) noexcept {
  int4::best_encoders().g32(in, row, n);
}

void encode_int4_64(const float* in, std::byte* row, int64_t n) noexcept {
  int4::best_encoders().g64(in, row, n);
}

void encode_int4_128(const float* in, std::byte* row, int64_t n) noexcept {
  int4::best_encoders().g128(in, row, n);
}

}  // namespace ktx::quant
