// The tables of tile kernels over some tiles.
#pragma once

#include "ops/matmul/integer/x86_codebook_formats.hpp"
#include "ops/matmul/simd/x86_simd_avx512_vbmi.hpp"
#include "ops/matmul/tiles/x86_tile_bf16.hpp"
#include "ops/matmul/tiles/x86_tile_int8.hpp"
#include "ops/matmul/tiles/x86_tile_pack.hpp"

namespace ktx::ops {
namespace {

template <class Tiles>
struct InBf16 {
  template <class Format>
  static constexpr TileProduct integer = {multiply_bf16<Tiles, IntegerTiles<Format>>};
};

template <class Tiles>
struct InInt8 {
  template <class Format>
  static constexpr TileProduct integer = {multiply_int8<Tiles, Format>, true};
};

/// Floats and codebooks in bf16, other integers as Way does it. Codes of codebooks use a part of
/// their range only, which leaves few steps of int8 to them.
template <class Tiles, class Way>
constexpr TileUnit tile_unit = [] {
  using S = Avx512;
  using V = Avx512Vbmi;
  using Bf16Way = InBf16<Tiles>;
  return TileUnit{
      .products = {{},
                   {multiply_bf16<Tiles, FloatTiles<F16>>},
                   {multiply_bf16<Tiles, FloatTiles<Bf16>>},
                   {multiply_bf16<Tiles, FloatTiles<Fp8>>},
                   Way::template integer<Q4_0<S>>,
                   Way::template integer<Q4_1<S>>,
                   Way::template integer<Q5_0<S>>,
                   Way::template integer<Q5_1<S>>,
                   Way::template integer<Q8_0<S>>,
                   Way::template integer<Q2K<S>>,
                   Way::template integer<Q3K<S>>,
                   Way::template integer<Q4K<S>>,
                   Way::template integer<Q5K<S>>,
                   Way::template integer<Q6K<S>>,
                   Way::template integer<Iq4Nl<S>>,
                   Way::template integer<Iq4Xs<S>>,
                   Way::template integer<Mxfp4<S>>,
                   Bf16Way::template integer<Iq3S<V>>,
                   Bf16Way::template integer<Iq3Xxs<V>>,
                   Bf16Way::template integer<Iq2S<V>>,
                   Bf16Way::template integer<Iq2Xs<V>>,
                   Bf16Way::template integer<Iq2Xxs<V>>,
                   Bf16Way::template integer<Iq1S<V>>,
                   Bf16Way::template integer<Iq1M<V>>,
                   Way::template integer<Int8Row<S>>,
                   Way::template integer<Int8Group<S, 32>>,
                   Way::template integer<Int8Group<S, 64>>,
                   Way::template integer<Int8Group<S, 128>>,
                   Way::template integer<Int4Group<S, 32>>,
                   Way::template integer<Int4Group<S, 64>>,
                   Way::template integer<Int4Group<S, 128>>},
      .pack_bf16 = pack_bf16,
      .pack_int8 = pack_int8,
  };
}();

template <class Tiles>
constexpr const TileUnit& bf16_unit = tile_unit<Tiles, InBf16<Tiles>>;
template <class Tiles>
constexpr const TileUnit& int8_unit = tile_unit<Tiles, InInt8<Tiles>>;

}  // namespace
}  // namespace ktx::ops
