// Attention of many tokens by mma.sync, from sm_80 on (FlashAttention-2, arXiv 2307.08691).
//
// A block has 128 rows of one head, a warp 32 of them with scores and sums in registers, and takes
// 64 keys at a time. Values are on their way while scores are made of keys, the next keys while
// values are added; two blocks of a multiprocessor fill each other's waits. Weights are the
// products' operands as they come out of the scores.
#include <climits>

#include "core/device/cuda.hpp"
#include "ops/attention/cuda_prefill_kernels.hpp"
#include "ops/cuda/tiles.cuh"

namespace ktx::ops::cuda {
namespace {

constexpr int warps = 4, threads = 32 * warps, warp_rows = 32, block_rows = warp_rows * warps;
constexpr int keys = 64;
/// Below every score. What a row does not see has the score -inf, so that its weight is 0 also
/// where a row sees nothing of a tile and its largest score is still this one.
constexpr float lowest = -1e30f;

/// Sizes of tiles' rows, of queries and keys and of values, in chunks of 16 bytes.
template <int head_dim, int shared_dim>
struct Sizes {
  static constexpr int key_chunks = (head_dim + shared_dim) / 8, value_chunks = head_dim / 8;
  static constexpr int query_bytes = block_rows * key_chunks * 16;
  static constexpr int key_bytes = keys * key_chunks * 16, value_bytes = keys * value_chunks * 16;
  static constexpr int shared_bytes = query_bytes + key_bytes + value_bytes;
  static constexpr int steps = (head_dim + shared_dim) / 16;  // of a score's sum
  static constexpr int outputs = head_dim / 8;
};

/// The address of a row's chunk < 8: chunk c of row r lies at chunk c ^ (r & 7), so that eight
/// rows' equal chunks lie in different banks. That of chunk ^ x, x < 8, is it ^ (16 x), and that of
/// chunk + 8 it + 128.
template <int row_chunks>
__device__ uint32_t chunk_at(uint32_t tile, int row, int chunk) {
  return tile + row * (16 * row_chunks) + ((chunk ^ (row & 7)) << 4);
}

/// Starts the copy of `rows` rows to a tile: from(row, chunk) is where a chunk lies.
template <int rows, int row_chunks, class From>
__device__ void copy_tile(uint32_t to, const From& from) {
  const int chunk = threadIdx.x % 8;
#pragma unroll 1  // addresses of many rows would take the sums' registers
  for (int r = 0; r < rows; r += threads / 8) {
    const int row = r + static_cast<int>(threadIdx.x) / 8;
#pragma unroll
    for (int i = 0; i < row_chunks; i += 8)
      copy_async(chunk_at<row_chunks>(to, row, chunk) + 16 * i, from(row, i + chunk));
  }
}

/// Rows that there are not repeat the last.
template <class S>
__device__ void copy_queries(const PrefillArgs& args, int head, int64_t first, uint32_t to) {
  copy_tile<block_rows, S::key_chunks>(to, [&](int row, int chunk) {
    return args.q + min(first + row, args.rows - 1) * args.q_row + head * args.q_head + 8 * chunk;
  });
}

/// Keys [first, first + 64); those from `end` on repeat the last.
template <class S, int head_dim>
__device__ void copy_keys(const PrefillArgs& args, int kv_head, int64_t first, int64_t end,
                          uint32_t to) {
  copy_tile<keys, S::key_chunks>(to, [&](int row, int chunk) {
    const int64_t key = min(first + row, end - 1);
    return chunk < head_dim / 8
               ? args.k + key * args.k_row + kv_head * args.k_head + 8 * chunk
               : args.shared_k + key * args.shared_row + 8 * (chunk - head_dim / 8);
  });
}

/// The same of their values.
template <class S>
__device__ void copy_values(const PrefillArgs& args, int kv_head, int64_t first, int64_t end,
                            uint32_t to) {
  copy_tile<keys, S::value_chunks>(to, [&](int row, int chunk) {
    return args.v + min(first + row, end - 1) * args.v_row + kv_head * args.v_head + 8 * chunk;
  });
}

/// Of a warp's 32 rows in two halves, as mma lays sums: [16 rows][8 columns].
using Scores = float[2][keys / 8][4];
template <class S>
using Sums = float[2][S::outputs][4];

/// Of the lane's four rows, two of each 16: the largest score, the sum of weights.
struct Softmax {
  float max[2][2] = {{lowest, lowest}, {lowest, lowest}}, sum[2][2] = {};
};

template <class S>
__device__ void score(Scores& scores, uint32_t queries, uint32_t tile) {
  const int lane = threadIdx.x % 32, row = threadIdx.x / 32 * warp_rows;
  const uint32_t q = chunk_at<S::key_chunks>(queries, row + lane % 16, lane / 16);
  // Matrices: keys 0-7 and 8-15 of a pair of eights, of each the chunks 2i and 2i + 1.
  const uint32_t k = chunk_at<S::key_chunks>(tile, lane / 16 * 8 + lane % 8, lane / 8 % 2);
  constexpr int sixteen = 16 * (16 * S::key_chunks);  // rows
#pragma unroll
  for (int m = 0; m < 2; ++m)
#pragma unroll
    for (int n = 0; n < keys / 8; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) scores[m][n][i] = 0;
#pragma unroll
  for (int i = 0; i < S::steps; ++i) {
    uint32_t a[2][4];
#pragma unroll
    for (int m = 0; m < 2; ++m) load_matrices(a[m], (q ^ (i % 4 * 32)) + i / 4 * 128 + m * sixteen);
#pragma unroll
    for (int n = 0; n < keys / 16; ++n) {
      uint32_t b[4];
      load_matrices(b, (k ^ (i % 4 * 32)) + i / 4 * 128 + n * sixteen);
#pragma unroll
      for (int m = 0; m < 2; ++m) {
        mma_bf16(scores[m][2 * n], a[m], b[0], b[1]);
        mma_bf16(scores[m][2 * n + 1], a[m], b[2], b[3]);
      }
    }
  }
}

/// What rows do not see gets the score -inf: the lane's first row is at the tile's key `row`.
__device__ void mask(Scores& scores, int row, int window) {
  const int first = row - static_cast<int>(threadIdx.x % 4) * 2;
#pragma unroll
  for (int m = 0; m < 2; ++m)
#pragma unroll
    for (int n = 0; n < keys / 8; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const int before = first + (16 * m + i / 2 * 8 - 8 * n - i % 2);  // keys between, and it
        if (before < 0 || (window > 0 && before >= window)) scores[m][n][i] = -INFINITY;
      }
}

/// Scores to weights; sums so far are brought to the new largest score.
template <class S>
__device__ void weigh(Scores& scores, Softmax& softmax, Sums<S>& sums, float scale) {
#pragma unroll
  for (int m = 0; m < 2; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float max = lowest;
#pragma unroll
      for (int n = 0; n < keys / 8; ++n)
        max = fmaxf(max, fmaxf(scores[m][n][2 * half], scores[m][n][2 * half + 1]));
      max = fmaxf(max, __shfl_xor_sync(every_lane, max, 1));
      max = fmaxf(max, __shfl_xor_sync(every_lane, max, 2));
      max = fmaxf(softmax.max[m][half], max * scale);
      float sum = 0;
#pragma unroll
      for (int n = 0; n < keys / 8; ++n)
#pragma unroll
        for (int i = 2 * half; i < 2 * half + 2; ++i)
          sum += scores[m][n][i] = fast_exp2(scores[m][n][i] * scale - max);
      const float factor = fast_exp2(softmax.max[m][half] - max);
      softmax.max[m][half] = max;
      softmax.sum[m][half] = softmax.sum[m][half] * factor + sum;
      if (__all_sync(every_lane, factor == 1)) continue;
#pragma unroll
      for (int n = 0; n < S::outputs; ++n) {
        sums[m][n][2 * half] *= factor;
        sums[m][n][2 * half + 1] *= factor;
      }
    }
  }
}

template <class S>
__device__ void add_values(Sums<S>& sums, const Scores& weights, uint32_t tile) {
  const int lane = threadIdx.x % 32;
  const uint32_t from = chunk_at<S::value_chunks>(tile, lane % 16, lane / 16);
#pragma unroll
  for (int step = 0; step < keys / 16; ++step) {
    uint32_t a[2][4];
#pragma unroll
    for (int m = 0; m < 2; ++m)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        const float* pair = weights[m][2 * step + i / 2] + i % 2 * 2;
        a[m][i] = bf16_pair(pair[0], pair[1]);
      }
#pragma unroll
    for (int n = 0; n < S::outputs / 2; ++n) {
      uint32_t b[4];
      load_transposed(b, (from ^ (n % 4 * 32)) + n / 4 * 128 + step * 16 * (16 * S::value_chunks));
#pragma unroll
      for (int m = 0; m < 2; ++m) {
        mma_bf16(sums[m][2 * n], a[m], b[0], b[1]);
        mma_bf16(sums[m][2 * n + 1], a[m], b[2], b[3]);
      }
    }
  }
}

template <class S>
__device__ void store(const Sums<S>& sums, const Softmax& softmax, const PrefillArgs& args,
                      int head, int64_t row) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int m = 0; m < 2; ++m) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float sum = softmax.sum[m][half];
      sum += __shfl_xor_sync(every_lane, sum, 1);
      sum += __shfl_xor_sync(every_lane, sum, 2);
      const float inverse = 1 / sum;
      const int64_t at = row + lane / 4 + 16 * m + 8 * half;
      if (at >= args.rows) continue;
      uint16_t* out = args.out + at * args.out_row + head * args.out_head + 2 * (lane % 4);
#pragma unroll
      for (int n = 0; n < S::outputs; ++n) {
        *reinterpret_cast<uint32_t*>(out + 8 * n) =
            bf16_pair(sums[m][n][2 * half] * inverse, sums[m][n][2 * half + 1] * inverse);
      }
    }
  }
}

template <int head_dim, int shared_dim>
__global__ void __launch_bounds__(threads, 2) prefill_kernel(PrefillArgs args) {
  using S = Sizes<head_dim, shared_dim>;
  extern __shared__ __align__(128) uint8_t bytes[];
  const uint32_t queries = shared_address(bytes), k_tile = queries + S::query_bytes;
  const uint32_t v_tile = k_tile + S::key_bytes;
  const int head = blockIdx.x, kv_head = head / args.heads_per_kv;
  // The last rows see most keys: they come first, so that the others fill the end.
  const int64_t first_row = int64_t{gridDim.y - 1 - blockIdx.y} * block_rows;
  const int64_t row = first_row + threadIdx.x / 32 * warp_rows;
  const int64_t end = args.past + min(first_row + block_rows, args.rows);
  int64_t begin = 0;
  if (args.window > 0)
    begin = max(int64_t{0}, args.past + first_row + 1 - args.window) / keys * keys;
  copy_queries<S>(args, head, first_row, queries);
  copy_keys<S, head_dim>(args, kv_head, begin, end, k_tile);
  end_copies();
  Sums<S> sums = {};
  Softmax softmax;
  const float scale = args.scale * 1.4426950408889634f;
  const int64_t position = args.past + row;
  for (int64_t key = begin; key < end; key += keys) {
    const bool seen = key < position + warp_rows;  // by any of the warp's rows
    Scores scores;
    await_copies<0>();
    __syncthreads();  // the keys are there, and nobody reads the values before them any more
    copy_values<S>(args, kv_head, key, end, v_tile);
    end_copies();
    if (seen) score<S>(scores, queries, k_tile);
    await_copies<0>();
    __syncthreads();  // the values are there, and nobody reads their keys any more
    if (key + keys < end) copy_keys<S, head_dim>(args, kv_head, key + keys, end, k_tile);
    end_copies();
    if (!seen) continue;
    if (key + keys > position + 1 || args.window > 0)
      mask(scores, static_cast<int>(position - key + threadIdx.x % 32 / 4),
           static_cast<int>(min(args.window, int64_t{INT_MAX})));
    weigh<S>(scores, softmax, sums, scale);
    add_values<S>(sums, scores, v_tile);
  }
  store<S>(sums, softmax, args, head, row);
}

using Kernel = void (*)(PrefillArgs);
struct Tiles {
  int head_dim, shared_dim;
  Kernel kernel;
  int shared_bytes;
};
template <int head_dim, int shared_dim>
constexpr Tiles tiles{head_dim, shared_dim, prefill_kernel<head_dim, shared_dim>,
                      Sizes<head_dim, shared_dim>::shared_bytes};
constexpr Tiles table[] = {tiles<128, 64>, tiles<128, 0>, tiles<64, 0>};

const Tiles* find(int head_dim, int shared_dim) noexcept {
  for (const Tiles& entry : table) {
    if (entry.head_dim == head_dim && entry.shared_dim == shared_dim) return &entry;
  }
  return nullptr;
}

bool fits(int head_dim, int shared_dim) noexcept {
  return find(head_dim, shared_dim) != nullptr;
}

void run(const PrefillArgs& args, const device::Queue& queue) noexcept {
  const Tiles& tile = *find(args.head_dim, args.shared_dim);
  cudaFuncSetAttribute(tile.kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, tile.shared_bytes);
  const dim3 grid(static_cast<unsigned>(args.heads), device::blocks_for(args.rows, block_rows));
  tile.kernel<<<grid, threads, static_cast<size_t>(tile.shared_bytes), device::stream_of(queue)>>>(
      args);
}

}  // namespace

const PrefillKernel prefill_mma{"mma", 80, 999, fits, run};

}  // namespace ktx::ops::cuda
