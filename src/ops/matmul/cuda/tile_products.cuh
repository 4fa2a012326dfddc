// The kernel of products of experts with many tokens: a block multiplies 128 tokens of an expert by
// 128 rows of it (of gate and up 64 each). Weights are decoded to bf16 in shared memory, once for
// all tokens of the block.
#pragma once

#include "core/device/cuda.hpp"
#include "ops/cuda/launch.cuh"
#include "ops/cuda/tiles.cuh"
#include "ops/matmul/cuda/products.hpp"
#include "ops/matmul/cuda/x16_decode.hpp"

namespace ktx::ops::cuda {

constexpr int tile_threads = 256, tile_columns = 64;
constexpr int tile_row_groups = tile_rows / 16;
constexpr int tile_row_bytes = 2 * tile_columns;  // in shared memory
static_assert(tile_row_bytes == 128);

/// Where chunk `chunk` (16 bytes) of row `row` is: neighbours in a column are in other banks.
__device__ __forceinline__ uint32_t tile_offset(int row, int chunk) {
  return static_cast<uint32_t>(row * tile_row_bytes + ((chunk ^ row % 8) * 16));
}

/// How the eight warps share a block: each has 32 tokens and half of the rows.
constexpr int token_warps = tile_tokens / 32, row_warps = 8 / token_warps;
constexpr int warp_rows = tile_rows / row_warps;
constexpr int row_tiles = warp_rows / 8;  // of mma, of a warp
constexpr int stage_bytes = (tile_tokens + tile_rows) * tile_row_bytes;

struct NoCodebooks {};  // no format here has one

/// The tokens and weights of a block, and where they go in shared memory.
template <X16 Format>
class TileLoader {
 public:
  __device__ TileLoader(const ProductsArgs& args, const RoutedTile& tile, std::byte* shared)
      : cols_(args.cols), shared_(shared) {
    for (int i = 0; i < token_rows; ++i) {
      const int position = tile.begin + (threadIdx.x + i * tile_threads) / 8;
      x_[i] = nullptr;
      if (position < tile.end)
        x_[i] = args.x + row_of(args, position) * args.x_stride + threadIdx.x % 8 * 8;
    }
    const ExpertWeights& expert = args.experts[tile.expert];
    const int last = args.parts[0].groups - 1;
    for (int i = 0; i < weight_groups; ++i)
      group_[i] = group_of(args, expert, tile.block, threadIdx.x / 128 + 2 * i, last);
  }

  /// Asks for the tokens of a step, and decodes its weights meanwhile.
  __device__ __forceinline__ void load(int step, int stage) const {
    std::byte* to = shared_ + stage * stage_bytes;
    const int column = step * tile_columns + static_cast<int>(threadIdx.x % 8) * 8;
#pragma unroll
    for (int i = 0; i < token_rows; ++i) {
      const int row = static_cast<int>(threadIdx.x + i * tile_threads) / 8;
      std::byte* chunk = to + tile_offset(row, threadIdx.x % 8);
      if (x_[i] != nullptr && column < cols_)
        copy_async(chunk, x_[i] + step * tile_columns);
      else
        *reinterpret_cast<uint4*>(chunk) = {};
    }
    end_copies();
    decode(step, to + tile_tokens * tile_row_bytes);
  }

 private:
  static constexpr int token_rows = tile_tokens * 8 / tile_threads;  // of a thread
  static constexpr int weight_groups = tile_row_groups * 128 / tile_threads;

  static __device__ int64_t row_of(const ProductsArgs& args, int position) {
    if (args.x_row == RowOf::token) return args.routing.order[position] / args.routing.top_k;
    return position - args.routing.used_first[args.routing.begin];
  }

  /// The weights of group `i` of the block. A warp has gate and up of the same rows.
  static __device__ const uint8_t* group_of(const ProductsArgs& args, const ExpertWeights& expert,
                                            int block, int i, int last) {
    if (!args.gated) return expert.down + min(block * tile_row_groups + i, last) * args.group_bytes;
    constexpr int of_warp = warp_rows / 16, half = of_warp / 2;
    const int warp = i / of_warp, in_warp = i % of_warp;
    const int group = block * tile_row_groups / 2 + warp * half + in_warp % half;
    return (in_warp < half ? expert.gate : expert.up) + min(group, last) * args.group_bytes;
  }

  // A thread has 8 columns of a row of every second group.
  __device__ __forceinline__ void decode(int step, std::byte* to) const {
    const int row = threadIdx.x % 16, chunk = threadIdx.x / 16 % 8;
    const int64_t column = step * tile_columns + chunk * 8;
#pragma unroll
    for (int i = 0; i < weight_groups; ++i) {
      float w[8] = {};
      if (column < cols_)
        decode_8<Format, NoCodebooks>(
            [group = group_[i]](int64_t offset) {
              return *reinterpret_cast<const uint32_t*>(group + offset);
            },
            row, column, w);
      const int in_block = (static_cast<int>(threadIdx.x) / 128 + 2 * i) * 16 + row;
      *reinterpret_cast<uint4*>(to + tile_offset(in_block, chunk)) = {
          bf16_pair(w[0], w[1]), bf16_pair(w[2], w[3]), bf16_pair(w[4], w[5]),
          bf16_pair(w[6], w[7])};
    }
  }

  int cols_;
  std::byte* shared_;
  const uint16_t* x_[token_rows];  // the thread's columns of its tokens; null: no token
  const uint8_t* group_[weight_groups];
};

/// sums[m][n]: tokens 16 m + lane / 4 (and 8 more), rows 8 n + 2 (lane % 4) and the next of a warp.
using TileSums = float[2][row_tiles][4];

/// sums += the products of the 64 columns of a stage.
__device__ __forceinline__ void multiply_stage(const std::byte* stage, TileSums& sums) {
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const uint32_t x = shared_address(stage);
  const uint32_t w = x + tile_tokens * tile_row_bytes;
  const int token = warp % token_warps * 32 + lane % 16;
  const int row = warp / token_warps * warp_rows + lane % 8 + lane / 16 * 8;
#pragma unroll
  for (int k = 0; k < tile_columns / 16; ++k) {
    uint32_t a[2][4];
#pragma unroll
    for (int m = 0; m < 2; ++m)
      load_matrices(a[m], x + tile_offset(token + 16 * m, 2 * k + lane / 16));
#pragma unroll
    for (int n = 0; n < row_tiles; n += 2) {
      uint32_t b[4];
      load_matrices(b, w + tile_offset(row + 8 * n, 2 * k + lane / 8 % 2));
#pragma unroll
      for (int m = 0; m < 2; ++m) {
        mma_bf16(sums[m][n], a[m], b[0], b[1]);
        mma_bf16(sums[m][n + 1], a[m], b[2], b[3]);
      }
    }
  }
}

__device__ __forceinline__ void store_tile(const ProductsArgs& args, const RoutedTile& tile,
                                           const TileSums& sums) {
  const ProductPart& part = args.parts[0];
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const int first = args.routing.used_first[args.routing.begin];
  const int rows = args.gated ? warp_rows / 2 : warp_rows;
  const int row = (tile.block * row_warps + warp / token_warps) * rows + 2 * (lane % 4);
#pragma unroll
  for (int m = 0; m < 2; ++m)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int position = tile.begin + warp % token_warps * 32 + 16 * m + 8 * half + lane / 4;
      if (position >= tile.end) continue;
      const int64_t at = int64_t{position - first} * part.y_stride + row;
#pragma unroll
      for (int n = 0; n < row_tiles; ++n) {
        const float y[2] = {sums[m][n][2 * half], sums[m][n][2 * half + 1]};
        if (!args.gated) {
          if (row + 8 * n < part.rows)
            *reinterpret_cast<float2*>(part.y + at + 8 * n) = {y[0], y[1]};
        } else if (n < row_tiles / 2 && row + 8 * n < part.rows) {
          const float* up = &sums[m][n + row_tiles / 2][2 * half];
          const auto silu = [](float v) { return __fdividef(v, 1 + __expf(-v)); };
          *reinterpret_cast<uint32_t*>(part.y_bf16 + at + 8 * n) =
              bf16_pair(silu(y[0]) * up[0], silu(y[1]) * up[1]);
        }
      }
    }
}

template <X16 Format>
__global__ void __launch_bounds__(tile_threads, 2)
    tile_products_kernel(const __grid_constant__ ProductsArgs args) {
  extern __shared__ uint4 memory[];
  auto* shared = reinterpret_cast<std::byte*>(memory);
  await_previous();
  const int first = args.routing.used_tiles[args.routing.begin] * args.row_blocks;
  const int beyond = args.routing.used_tiles[end_of(args.routing)] * args.row_blocks;
  const int steps = (args.cols + tile_columns - 1) / tile_columns;
  for (int index = first + static_cast<int>(blockIdx.x); index < beyond; index += gridDim.x) {
    const RoutedTile tile = routed_tile(args.routing, args.row_blocks, index, tile_tokens);
    const TileLoader<Format> loader(args, tile, shared);
    TileSums sums = {};
    loader.load(0, 0);
    for (int step = 0; step < steps; ++step) {
      await_copies<0>();
      __syncthreads();
      if (step + 1 < steps) loader.load(step + 1, (step + 1) % 2);
      multiply_stage(shared + step % 2 * stage_bytes, sums);
    }
    store_tile(args, tile, sums);
    __syncthreads();  // before its memory is used again
  }
}

template <X16 Format>
void run_tile_products(const ProductsArgs& args, const device::Queue& queue) noexcept {
  constexpr int bytes = 2 * stage_bytes;
  const auto kernel = tile_products_kernel<Format>;
  cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  int blocks = 1;
  cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, kernel, tile_threads, bytes);
  const int multiprocessors = device::limits_of(queue.place().index).multiprocessors;
  launch(kernel, {static_cast<unsigned>(blocks * multiprocessors), tile_threads, bytes}, queue,
         args);
}

using RunTileProducts = void (*)(const ProductsArgs& args, const device::Queue& queue) noexcept;

/// One unit a family of formats, so that they compile side by side; null for the formats of others.
RunTileProducts k_tile_products(X16 format) noexcept;
RunTileProducts nibble_tile_products(X16 format) noexcept;
RunTileProducts byte_tile_products(X16 format) noexcept;

}  // namespace ktx::ops::cuda
