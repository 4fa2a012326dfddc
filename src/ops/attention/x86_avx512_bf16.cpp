// Attention on AVX-512 BF16, in the shape of tiles.
#include "ops/attention/x86_bf16_vectors.hpp"
#include "ops/attention/x86_tile_latents.hpp"
#include "ops/matmul/tiles/x86_tiles_avx512_bf16.hpp"

namespace ktx::ops {
namespace {

struct Avx512Bf16 : Bf16Vectors {
  using Tiles = Bf16Tiles;
  static constexpr int64_t speed = 15;
};

}  // namespace

constexpr AttentionTiles attention_avx512_bf16 = attention_tiles<Avx512Bf16>;

}  // namespace ktx::ops
