// The kernel of products with few tokens a tile: of matrices that share their input, or of the
// experts that tokens chose.
#pragma once

#include "core/device/cuda.hpp"
#include "ops/matmul/cuda/one_token.cuh"
#include "ops/matmul/cuda/products.hpp"

namespace ktx::ops::cuda {

/// One tile of the work: pairs of groups of a matrix with up to 8 or 16 tokens.
struct Tile {
  const uint8_t* first;   // matrix of the lanes of the first group of a pair
  const uint8_t* second;  // of the second
  int part;               // of args.parts
  int block;              // row block of the part: its pairs are row_warps * block ...
  int begin, end;         // positions of its tokens
};

__device__ __forceinline__ Tile tile_of(const ProductsArgs& args, int index, int tokens_a_tile) {
  if (args.routing.used == nullptr) {
    const int token_tiles = (args.tokens + tokens_a_tile - 1) / tokens_a_tile;
    const int begin = index % token_tiles * tokens_a_tile;
    int part = 0, block = index / token_tiles;
    while (block >= args.parts[part].end_block) ++part;
    if (part > 0) block -= args.parts[part - 1].end_block;
    const uint8_t* first = args.parts[part].weights;
    return {first, args.gated ? args.parts[part].up : first, part, block,
            begin, min(begin + tokens_a_tile, args.tokens)};
  }
  const RoutedTile tile = routed_tile(args.routing, args.row_blocks, index, tokens_a_tile);
  const ExpertWeights& expert = args.experts[tile.expert];
  const uint8_t* first = args.gated ? expert.gate : expert.down;
  return {first, args.gated ? expert.up : first, 0, tile.block, tile.begin, tile.end};
}

/// The lane's group of pair p: of one matrix groups 2 p and 2 p + 1, of gate and up the same group
/// of both.
__device__ __forceinline__ int group_of(const ProductsArgs& args, const Tile& tile, int pair,
                                        int side) {
  return args.gated ? pair : min(2 * pair + side, args.parts[tile.part].groups - 1);
}

/// Position of the first row that is found by position.
__device__ __forceinline__ int first_position(const Routing& routing) {
  return routing.used == nullptr ? 0 : routing.used_first[routing.begin];
}

/// Row of x, or of y, of a position.
__device__ __forceinline__ int64_t row_at(RowOf of, const Routing& routing, int position) {
  if (of == RowOf::token) return routing.order[position] / routing.top_k;
  return position - first_position(routing);
}

/// Adds up shares of the columns: of a block's warps in shared memory, `stride` numbers a warp,
/// then of blocks through global memory. Returns whether this warp holds the sum of all.
template <int Tiles>
__device__ __forceinline__ bool add_shares(const ProductsArgs& args, int tile, float* shared,
                                           int stride, FewRowsSums<Tiles>& sums) {
  constexpr int numbers = 2 * Tiles * 4;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, shares = args.plan.shares;
  const int row_warp = warp / shares, share = warp % shares;
  float* flat = &sums[0][0][0];
  if (shares > 1) {
    float* mine = shared + warp * stride + lane;
    __syncwarp();  // all of its lanes have read what was there
    if (share != 0)
#pragma unroll
      for (int i = 0; i < numbers; ++i) mine[i * 32] = flat[i];
    __syncthreads();
    if (share == 0)
#pragma unroll 2
      for (int other = 1; other < shares; ++other)
#pragma unroll
        for (int i = 0; i < numbers; ++i) flat[i] += mine[other * stride + i * 32];
  }
  const int splits = args.plan.splits;
  if (splits == 1) return share == 0;

  float* partial = args.partial +
                   (int64_t{tile} * args.plan.row_warps + row_warp) * splits * numbers * 32 + lane;
  if (share == 0)
#pragma unroll
    for (int i = 0; i < numbers; ++i) partial[(blockIdx.y * numbers + i) * 32] = flat[i];
  __syncthreads();
  __shared__ bool last;
  if (threadIdx.x == 0) {
    last = arrive(args.arrived + tile) == static_cast<unsigned>(splits - 1);
    if (last) args.arrived[tile] = 0;  // as the next product finds it
  }
  __syncthreads();
  if (!last || share != 0) return false;
#pragma unroll
  for (int i = 0; i < numbers; ++i) flat[i] = 0;
  constexpr int at_once = 4;  // splits whose sums are waited for together
  for (int begin = 0; begin < splits; begin += at_once) {  // in order, whoever came last
    float sum[at_once][numbers];
#pragma unroll
    for (int k = 0; k < at_once; ++k)
#pragma unroll
      for (int i = 0; i < numbers; ++i) {
        const bool there = begin + k < splits;
        sum[k][i] = there ? __ldcg(partial + ((begin + k) * numbers + i) * 32) : 0.0f;
      }
#pragma unroll
    for (int k = 0; k < at_once; ++k)
#pragma unroll
      for (int i = 0; i < numbers; ++i) flat[i] += sum[k][i];
  }
  return true;
}

/// Four consecutive rows of one token; `rows` of them are in the matrix.
__device__ __forceinline__ void store_rows(const ProductPart& part, int64_t at, int rows,
                                           float (&y)[4]) {
  if (part.add != nullptr)
    for (int r = 0; r < 4; ++r)
      if (r < rows) y[r] += part.add[at + r];
  if (part.y_bf16 != nullptr) {
    const uint32_t low = bf16_pair(y[0], y[1]), high = bf16_pair(y[2], y[3]);
    uint16_t* to = part.y_bf16 + at;
    if (rows >= 4 && part.aligned) {
      *reinterpret_cast<uint2*>(to) = {low, high};
    } else {
      for (int r = 0; r < 4; ++r)
        if (r < rows) to[r] = static_cast<uint16_t>((r < 2 ? low : high) >> 16 * (r % 2));
    }
  } else if (rows >= 4 && part.aligned) {
    *reinterpret_cast<float4*>(part.y + at) = {y[0], y[1], y[2], y[3]};
  } else {
    for (int r = 0; r < 4; ++r)
      if (r < rows) part.y[at + r] = y[r];
  }
}

template <X16 Format, int Tiles>
__device__ __forceinline__ void finish(const ProductsArgs& args, const Tile& tile, int pair,
                                       FewRowsSums<Tiles>& sums) {
  const ProductPart& part = args.parts[tile.part];
  const int lane = threadIdx.x % 32, side = lane / 16, q = lane / 4 % 4, t = lane % 4;
  const int group = args.gated ? pair : 2 * pair + side, row = 16 * group + 4 * q;
  float scale[4] = {1, 1, 1, 1};
  if constexpr (Format == X16::int8) {
    const uint8_t* base = (side == 0 ? tile.first : tile.second) +
                          group_of(args, tile, pair, side) * args.group_bytes + q * 16;
    const float4 s = *reinterpret_cast<const float4*>(base);
    scale[0] = s.x, scale[1] = s.y, scale[2] = s.z, scale[3] = s.w;
  }
#pragma unroll
  for (int n = 0; n < Tiles; ++n)
#pragma unroll
    for (int j = 0; j < 2; ++j) {
      float y[4];
      for (int r = 0; r < 4; ++r) y[r] = sums[r / 2][n][2 * (r % 2) + j] * scale[r];
      if (args.gated)  // silu(gate) * up: gate is in the lanes of the first group
        for (int r = 0; r < 4; ++r) {
          const float up = __shfl_xor_sync(every_lane, y[r], 16);
          y[r] = __fdividef(y[r], 1 + __expf(-y[r])) * up;
        }
      const int position = tile.begin + 8 * n + 2 * t + j;
      if (position >= tile.end || row >= part.rows || (args.gated && side != 0)) continue;
      const int64_t at = row_at(args.y_row, args.routing, position) * part.y_stride + row;
      store_rows(part, at, part.rows - row, y);
    }
}

/// Warps that a multiprocessor has registers for: as many as fit without spilling in the loop.
template <X16 Format, int Tiles>
constexpr int warps_by_registers =
    (step_chunks(Format).all() <= 12 ? 5 - Tiles : 4 - Tiles) * few_rows_warps;

/// What a warp keeps in shared memory: activations, then the sums of its share.
template <X16 Format, int Tokens>
struct WarpSpace {
  StepTokens<Format, (Tokens + 7) / 8> tokens;
};
template <X16 Format>
struct WarpSpace<Format, 1> {
  FewRowsSums<1> sums[32];
};

/// Tokens: of a tile, 1, 8 or 16.
template <X16 Format, int Tokens>
__global__ void __launch_bounds__(32 * warps_by_registers<Format, (Tokens + 7) / 8>)
    products_kernel(const __grid_constant__ ProductsArgs args) {
  constexpr int Tiles = (Tokens + 7) / 8;
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, side = lane / 16;
  const int shares = args.plan.shares, row_warp = warp / shares, share = warp % shares;
  extern __shared__ uint4 shared[];
  auto* space = reinterpret_cast<WarpSpace<Format, Tokens>*>(shared);
  static_assert(sizeof *space >= sizeof(FewRowsSums<Tiles>) * 32);
  int first = 0, beyond = args.tiles;
  if (args.routing.used != nullptr) {
    await_previous();
    first = args.routing.used_tiles[args.routing.begin] * args.row_blocks;
    beyond = args.routing.used_tiles[end_of(args.routing)] * args.row_blocks;
  }
  __shared__ Tile tile;  // which costs no registers there
  for (int index = first + blockIdx.x; index < beyond; index += gridDim.x) {
    if (threadIdx.x == 0) tile = tile_of(args, index, 8 * Tiles);
    __syncthreads();
    const int pair = tile.block * args.plan.row_warps + row_warp;
    const int pairs = args.parts[tile.part].pairs;  // sums of those beyond are not stored
    const uint8_t* group = (side == 0 ? tile.first : tile.second) +
                           group_of(args, tile, min(pair, pairs - 1), side) * args.group_bytes;
    StepLoader<Format, Tiles> loader{.group = group,
                                     .lane = lane_parts(Format, {lane / 4 % 4, lane % 4}),
                                     .cols = args.cols,
                                     .step_bytes = static_cast<int>(args.group_bytes) / args.steps};
    const auto token_at = [&](int position) {
      return args.x + row_at(args.x_row, args.routing, position) * args.x_stride;
    };
    FewRowsSums<Tiles> sums = {};
    const StepRange steps =
        share_of(args.steps, blockIdx.y * shares + share, args.plan.splits * shares);
    if constexpr (Tokens == 1) {
      add_one_token<Format>(loader, token_at(tile.begin), steps, sums);
    } else {
      for (int n = 0; n < Tiles; ++n) {
        const int position = tile.begin + 8 * n + lane / 4;
        loader.x[n] = position < tile.end ? token_at(position) + 8 * (lane % 4) : nullptr;
      }
      add_few_rows<Format, Tiles>(loader, space[warp].tokens, steps, sums);
    }
    if (add_shares<Tiles>(args, index, reinterpret_cast<float*>(shared),
                          sizeof *space / sizeof(float), sums) &&
        pair < args.parts[tile.part].pairs)
      finish<Format, Tiles>(args, tile, pair, sums);
    __syncthreads();  // before sums are shared again
  }
}

template <X16 Format, int Tokens>
struct ProductsKernel {
  static constexpr size_t shared_bytes(int warps) noexcept {
    return static_cast<size_t>(warps) * sizeof(WarpSpace<Format, Tokens>);
  }
  static int blocks_a_multiprocessor() noexcept {
    int blocks = 1;
    cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, products_kernel<Format, Tokens>,
                                                  few_rows_warps * 32,
                                                  shared_bytes(few_rows_warps));
    return blocks;
  }
  static void run(const ProductsArgs& args, dim3 grid, const device::Queue& queue) noexcept {
    const auto kernel = products_kernel<Format, Tokens>;
    const int warps = args.plan.warps();
    cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                         static_cast<int>(shared_bytes(most_warps)));
    launch(kernel, {grid, static_cast<unsigned>(32 * warps), shared_bytes(warps)}, queue, args);
  }
};

/// The kernels of one format, by how many tokens a tile has.
struct ProductsKernels {
  struct OfTokens {
    int (*blocks_a_multiprocessor)() noexcept;
    void (*run)(const ProductsArgs& args, dim3 grid, const device::Queue& queue) noexcept;
  };
  OfTokens one, eight, sixteen;
};

template <X16 Format, int Tokens>
constexpr ProductsKernels::OfTokens products_of_tokens = {
    ProductsKernel<Format, Tokens>::blocks_a_multiprocessor, ProductsKernel<Format, Tokens>::run};
template <X16 Format>
constexpr ProductsKernels products_kernels = {
    products_of_tokens<Format, has_one_token(Format) ? 1 : 8>, products_of_tokens<Format, 8>,
    products_of_tokens<Format, 16>};

/// One unit a family of formats, so that they compile side by side; null for the formats of others.
const ProductsKernels* k_products(X16 format) noexcept;
const ProductsKernels* nibble_products(X16 format) noexcept;
const ProductsKernels* byte_products(X16 format) noexcept;
const ProductsKernels* float_products(X16 format) noexcept;

}  // namespace ktx::ops::cuda
