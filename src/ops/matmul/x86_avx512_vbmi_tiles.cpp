// The kernels of x86_amx.cpp on emulated tiles.
#include "ops/matmul/tiles/x86_tile_unit.hpp"
#include "ops/matmul/tiles_emulated.hpp"

namespace ktx::ops {

constexpr TileUnit x86_avx512_vbmi_tiles = tile_unit<EmulatedTiles>;

}  // namespace ktx::ops
