// Kernels of many tokens on AMX tiles, all in bf16.
#include "ops/matmul/tiles/x86_tile_unit.hpp"
#include "ops/matmul/tiles/x86_tiles_amx.hpp"

namespace ktx::ops {

constexpr TileUnit x86_amx_bf16 = bf16_unit<AmxTiles>;

}  // namespace ktx::ops
