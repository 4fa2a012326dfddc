// The table of tile kernels over some tiles.
#pragma once

#include "ops/matmul/integer/x86_codebook_formats.hpp"
#include "ops/matmul/simd/x86_simd_avx512_vbmi.hpp"
#include "ops/matmul/tiles/x86_tile_bf16.hpp"
#include "ops/matmul/tiles/x86_tile_int8.hpp"
#include "ops/matmul/tiles/x86_tile_pack.hpp"

namespace ktx::ops {
namespace {

using S = Avx512;

template <class Tiles, class Format>
constexpr auto integer = multiply_bf16<Tiles, IntegerTiles<Format>>;

template <class Tiles>
constexpr TileUnit tile_unit = {
    .multiply = {nullptr,
                 multiply_bf16<Tiles, FloatTiles<F16>>,
                 multiply_bf16<Tiles, FloatTiles<Bf16>>,
                 multiply_bf16<Tiles, FloatTiles<Fp8>>,
                 integer<Tiles, Q4_0<S>>,
                 integer<Tiles, Q4_1<S>>,
                 integer<Tiles, Q5_0<S>>,
                 integer<Tiles, Q5_1<S>>,
                 integer<Tiles, Q8_0<S>>,
                 integer<Tiles, Q2K<S>>,
                 integer<Tiles, Q3K<S>>,
                 integer<Tiles, Q4K<S>>,
                 integer<Tiles, Q5K<S>>,
                 integer<Tiles, Q6K<S>>,
                 integer<Tiles, Iq4Nl<S>>,
                 integer<Tiles, Iq4Xs<S>>,
                 integer<Tiles, Mxfp4<S>>,
                 integer<Tiles, Iq3S<Avx512Vbmi>>,
                 integer<Tiles, Iq3Xxs<Avx512Vbmi>>,
                 integer<Tiles, Iq2S<Avx512Vbmi>>,
                 integer<Tiles, Iq2Xs<Avx512Vbmi>>,
                 integer<Tiles, Iq2Xxs<Avx512Vbmi>>,
                 integer<Tiles, Iq1S<Avx512Vbmi>>,
                 integer<Tiles, Iq1M<Avx512Vbmi>>,
                 multiply_int8<Tiles>,
                 integer<Tiles, Int8Group<S, 32>>,
                 integer<Tiles, Int8Group<S, 64>>,
                 integer<Tiles, Int8Group<S, 128>>,
                 integer<Tiles, Int4Group<S, 32>>,
                 integer<Tiles, Int4Group<S, 64>>,
                 integer<Tiles, Int4Group<S, 128>>},
    .pack_bf16 = pack_bf16,
    .pack_int8 = pack_int8,
};

}  // namespace
}  // namespace ktx::ops
