// Products of experts with many tokens: q4_k, q5_k, q6_k.
#include "ops/matmul/cuda/tile_products.cuh"

namespace ktx::ops::cuda {

RunTileProducts k_tile_products(X16 format) noexcept {
  switch (format) {
    case X16::q4_k:
      return run_tile_products<X16::q4_k>;
    case X16::q5_k:
      return run_tile_products<X16::q5_k>;
    case X16::q6_k:
      return run_tile_products<X16::q6_k>;
    default:
      return nullptr;
  }
}

}  // namespace ktx::ops::cuda
