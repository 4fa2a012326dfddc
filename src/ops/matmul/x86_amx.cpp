// Kernels of many tokens for AMX-bf16.
#include "ops/matmul/x86_panel_kernel.hpp"
#include "ops/matmul/x86_tiles_amx.hpp"

namespace ktx::ops {

constexpr PanelUnit x86_amx = panel_unit<AmxTiles>;

}  // namespace ktx::ops
