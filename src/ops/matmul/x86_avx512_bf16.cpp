// Kernels of many tokens on AVX-512 BF16, for the formats of floats: integers are faster on VNNI.
// They are for CPUs without AMX: those with it run vdpbf16ps at half the rate of f32 multiply-adds.
#include "ops/matmul/tiles/x86_tile_bf16.hpp"
#include "ops/matmul/tiles/x86_tile_pack.hpp"
#include "ops/matmul/tiles/x86_tiles_avx512_bf16.hpp"

namespace ktx::ops {

constexpr TileUnit x86_avx512_bf16 = {
    .products = {{},
                 {multiply_bf16<Bf16Tiles, FloatTiles<F16>>},
                 {multiply_bf16<Bf16Tiles, FloatTiles<Bf16>>},
                 {multiply_bf16<Bf16Tiles, FloatTiles<Fp8>>}},
    .pack_bf16 = pack_bf16,
};

}  // namespace ktx::ops
