// The kernels of x86_amx.cpp on emulated tiles.
#include "ops/matmul/tiles_emulated.hpp"
#include "ops/matmul/x86_panel_kernel.hpp"

namespace ktx::ops {

constexpr PanelUnit x86_avx512_tiles = panel_unit<EmulatedTiles>;

}  // namespace ktx::ops
