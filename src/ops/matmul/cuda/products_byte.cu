// Products with few tokens a tile: 8-bit integers.
#include "ops/matmul/cuda/products.cuh"

namespace ktx::ops::cuda {

const ProductsKernels* byte_products(X16 format) noexcept {
  switch (format) {
    case X16::q8_0:
      return &products_kernels<X16::q8_0>;
    case X16::int8:
      return &products_kernels<X16::int8>;
    case X16::int8_32:
      return &products_kernels<X16::int8_32>;
    case X16::int8_64:
      return &products_kernels<X16::int8_64>;
    case X16::int8_128:
      return &products_kernels<X16::int8_128>;
    default:
      return nullptr;
  }
}

}  // namespace ktx::ops::cuda
