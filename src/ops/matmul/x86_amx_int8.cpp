// Kernels of many tokens on AMX tiles.
#include "ops/matmul/tiles/x86_tile_unit.hpp"
#include "ops/matmul/tiles/x86_tiles_amx.hpp"

namespace ktx::ops {

constexpr TileUnit x86_amx_int8 = tile_unit<AmxTiles>;

}  // namespace ktx::ops
