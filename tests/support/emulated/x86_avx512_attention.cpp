// The functions of src/ops/attention/x86_amx_bf16.cpp on emulated tiles.
#include "ops/attention/x86_tile_latents.hpp"
#include "ops/matmul/simd/x86_bf16.hpp"
#include "support/emulated/emulated_tiles.hpp"

namespace ktx::test {
namespace {

struct Emulated {
  using Tiles = EmulatedTiles;
  static constexpr int64_t speed = 80;  // of AMX
  [[gnu::always_inline]] static __m512i in_order(__m512 a, __m512 b) {
    const __m256i first = _mm512_cvtepi32_epi16(_mm512_srli_epi32(ops::to_bf16(a), 16));
    const __m256i second = _mm512_cvtepi32_epi16(_mm512_srli_epi32(ops::to_bf16(b), 16));
    return _mm512_inserti64x4(_mm512_castsi256_si512(first), second, 1);
  }
  [[gnu::always_inline]] static __m512i in_pairs(__m512 a, __m512 b) {
    const __m512i upper =
        _mm512_and_si512(ops::to_bf16(b), _mm512_set1_epi32(static_cast<int>(0xffff0000u)));
    return _mm512_or_si512(_mm512_srli_epi32(ops::to_bf16(a), 16), upper);
  }
};

}  // namespace

constexpr ops::AttentionTiles x86_avx512_attention = ops::attention_tiles<Emulated>;

}  // namespace ktx::test
