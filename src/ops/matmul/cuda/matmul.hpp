// Linear layers on a GPU, from packed bytes: y = x W^T for any number of tokens.
//
// Where things are:
//   cuda_matmul.cpp      the choice between the two ways
//   products*            up to few_tokens tokens: weights are dequantized in registers on their way
//                        to the tensor cores; experts too (ops/moe/cuda.hpp)
//   tile_products*       experts with many tokens: weights are decoded once for 128 of them
//   few_rows.cuh         what one warp does there; one_token.cuh: what it does with a single one
//   few_rows_index.hpp   its offsets, bits and shares
//   routed_tiles.hpp     the tiles of work that tokens sorted by expert make
//   decode_rows.*        more tokens: slabs of rows are decoded to bf16 and multiplied by cuBLASLt
//   x16_decode.hpp       weights of every packed format one by one
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "core/device/memory.hpp"
#include "core/device/queue.hpp"
#include "core/quant/format.hpp"

namespace ktx::ops::cuda {

/// A matrix [rows, cols] in Layout::x16 in a GPU's memory; see matmul_refusal
/// (ops/cuda/refusals.hpp).
struct PackedMatrix {
  const std::byte* data = nullptr;
  quant::Format format = quant::Format::f32;
  int64_t rows = 0, cols = 0;
};

/// From more tokens on rows are decoded for cuBLASLt.
constexpr int64_t few_tokens = 64;

struct MatmulArgs {
  PackedMatrix w;
  const uint16_t* x = nullptr;  // bf16 [tokens, cols]
  int64_t x_stride = 0;         // in numbers, a multiple of 8
  int64_t tokens = 0;
  float* y = nullptr;          // one of the two: [tokens, rows], overwritten
  uint16_t* y_bf16 = nullptr;  // bf16
  int64_t y_stride = 0;        // in numbers
  const float* add = nullptr;  // is added to y (not to y_bf16); strides as y; may be y
};

/// y = silu(gate x) * (up x), bf16 [tokens, rows]; both matrices have the same shape.
struct GatedArgs {
  PackedMatrix gate, up;
  const uint16_t* x = nullptr;  // bf16 [tokens, cols]
  int64_t x_stride = 0;         // in numbers, a multiple of 8
  int64_t tokens = 0;
  uint16_t* y = nullptr;  // [tokens, rows], overwritten
  int64_t y_stride = 0;   // in numbers, even
  // Room of the shape of y for what up gives, where it takes more than one launch: with many
  // tokens, or formats that differ.
  uint16_t* up_to = nullptr;
  int64_t up_stride = 0;
};

struct ProductsArgs;

/// What the products of one queue share: memory for sums and decoded rows, and cuBLASLt's handle.
/// Made while loading; throws environment error.
class MatmulSpace {
 public:
  explicit MatmulSpace(device::Queue& queue);
  ~MatmulSpace();
  /// Bytes of the GPU's memory.
  static uint64_t bytes() noexcept;

 private:
  friend void matmul_many(std::span<const MatmulArgs> products, MatmulSpace& space) noexcept;
  friend void gated(const GatedArgs& args, MatmulSpace& space) noexcept;
  friend void matmul_by_decoded_rows(const MatmulArgs& args, MatmulSpace& space) noexcept;

  void run(ProductsArgs& products) noexcept;

  device::Queue& queue_;
  device::Block partial_, arrived_, slab_, workspace_;
  void* handle_ = nullptr;  // cublasLtHandle_t
};

/// In the queue of `space`.
void matmul(const MatmulArgs& args, MatmulSpace& space) noexcept;

/// Up to most_products products of the same x and tokens. With few tokens those of one format are
/// one launch, in which the memory never waits for the next matrix.
constexpr size_t most_products = 8;
void matmul_many(std::span<const MatmulArgs> products, MatmulSpace& space) noexcept;

/// With few tokens and one format a single launch.
void gated(const GatedArgs& args, MatmulSpace& space) noexcept;

/// The way of many tokens, whatever their number: the tests' second opinion.
void matmul_by_decoded_rows(const MatmulArgs& args, MatmulSpace& space) noexcept;

}  // namespace ktx::ops::cuda
