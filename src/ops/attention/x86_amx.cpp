// Attention on AMX tiles.
#include "ops/attention/x86_native_bf16.hpp"
#include "ops/attention/x86_tile_attend.hpp"
#include "ops/matmul/x86_tiles_amx.hpp"

namespace ktx::ops {

constexpr AttentionTiles attention_amx = attention_tiles<NativeBf16<AmxTiles>>;

}  // namespace ktx::ops
