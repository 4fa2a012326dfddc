// Products with few tokens a tile: q4_k, q5_k, q6_k.
#include "ops/matmul/cuda/products.cuh"

namespace ktx::ops::cuda {

const ProductsKernels* k_products(X16 format) noexcept {
  switch (format) {
    case X16::q4_k:
      return &products_kernels<X16::q4_k>;
    case X16::q5_k:
      return &products_kernels<X16::q5_k>;
    case X16::q6_k:
      return &products_kernels<X16::q6_k>;
    default:
      return nullptr;
  }
}

}  // namespace ktx::ops::cuda
