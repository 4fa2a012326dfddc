// Products with few tokens a tile: bf16 and fp8.
#include "ops/matmul/cuda/products.cuh"

namespace ktx::ops::cuda {

const ProductsKernels* float_products(X16 format) noexcept {
  switch (format) {
    case X16::bf16:
      return &products_kernels<X16::bf16>;
    case X16::fp8:
      return &products_kernels<X16::fp8>;
    default:
      return nullptr;
  }
}

}  // namespace ktx::ops::cuda
