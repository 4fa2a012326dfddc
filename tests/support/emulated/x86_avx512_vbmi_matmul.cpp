// The kernels of src/ops/matmul/x86_amx_int8.cpp and x86_amx_bf16.cpp on emulated tiles.
#include "ops/matmul/tiles/x86_tile_unit.hpp"
#include "support/emulated/emulated_tiles.hpp"

namespace ktx::test {

constexpr ops::TileUnit x86_avx512_vbmi_matmul = ops::int8_unit<EmulatedTiles>;
constexpr ops::TileUnit x86_avx512_vbmi_matmul_bf16 = ops::bf16_unit<EmulatedTiles>;

}  // namespace ktx::test
