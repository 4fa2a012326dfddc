// The kernels of src/ops/matmul/x86_amx_int8.cpp on emulated tiles.
#include "ops/matmul/tiles/x86_tile_unit.hpp"
#include "support/emulated/emulated_tiles.hpp"

namespace ktx::test {

constexpr ops::TileUnit x86_avx512_vbmi_matmul = ops::tile_unit<EmulatedTiles>;

}  // namespace ktx::test
