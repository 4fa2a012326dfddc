// Products of experts with many tokens: 4 and 5 bits with 16-bit scales.
#include "ops/matmul/cuda/tile_products.cuh"

namespace ktx::ops::cuda {

RunTileProducts nibble_tile_products(X16 format) noexcept {
  switch (format) {
    case X16::q4_0:
      return run_tile_products<X16::q4_0>;
    case X16::q5_0:
      return run_tile_products<X16::q5_0>;
    case X16::int4_32:
      return run_tile_products<X16::int4_32>;
    case X16::int4_64:
      return run_tile_products<X16::int4_64>;
    case X16::int4_128:
      return run_tile_products<X16::int4_128>;
    default:
      return nullptr;
  }
}

}  // namespace ktx::ops::cuda
