// Products of experts with many tokens: 8-bit integers, fp8 and bf16.
#include "ops/matmul/cuda/tile_products.cuh"

namespace ktx::ops::cuda {

RunTileProducts byte_tile_products(X16 format) noexcept {
  switch (format) {
    case X16::q8_0:
      return run_tile_products<X16::q8_0>;
    case X16::int8:
      return run_tile_products<X16::int8>;
    case X16::int8_32:
      return run_tile_products<X16::int8_32>;
    case X16::int8_64:
      return run_tile_products<X16::int8_64>;
    case X16::int8_128:
      return run_tile_products<X16::int8_128>;
    case X16::fp8:
      return run_tile_products<X16::fp8>;
    case X16::bf16:
      return run_tile_products<X16::bf16>;
    default:
      return nullptr;
  }
}

}  // namespace ktx::ops::cuda
