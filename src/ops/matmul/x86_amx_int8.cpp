// Kernels of many tokens on AMX tiles: integers in int8, floats and codebooks in bf16.
#include "ops/matmul/tiles/x86_tile_unit.hpp"
#include "ops/matmul/tiles/x86_tiles_amx.hpp"

namespace ktx::ops {

constexpr TileUnit x86_amx_int8 = int8_unit<AmxTiles>;

}  // namespace ktx::ops
