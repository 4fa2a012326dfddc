// Attention on AMX tiles.
#include "ops/attention/x86_bf16_vectors.hpp"
#include "ops/attention/x86_tile_latents.hpp"
#include "ops/matmul/tiles/x86_tiles_amx.hpp"

namespace ktx::ops {
namespace {

struct Amx : Bf16Vectors {
  using Tiles = AmxTiles;
  static constexpr int64_t speed = 80;
};

}  // namespace

constexpr AttentionTiles attention_amx = attention_tiles<Amx>;

}  // namespace ktx::ops
