// Attention on tiles of AVX-512 BF16.
#include "ops/attention/x86_native_bf16.hpp"
#include "ops/attention/x86_tile_attend.hpp"
#include "ops/matmul/x86_tiles_avx512_bf16.hpp"

namespace ktx::ops {

constexpr AttentionTiles attention_avx512_bf16 = attention_tiles<NativeBf16<Bf16Tiles>>;

}  // namespace ktx::ops
