// Attention of many tokens by mma.sync, from sm_80 on (FlashAttention-2, arXiv 2307.08691).
//
// A block has 128 rows of one head, a warp 16 of them with their queries, scores and sums in
// registers, and takes 64 keys at a time, the next ones on their way. Weights are the products'
// operands as they come out of the scores.
#include "core/device/cuda.hpp"
#include "ops/attention/cuda_prefill.hpp"
#include "ops/cuda/tiles.cuh"

namespace ktx::ops::cuda {
namespace {

constexpr int warps = 8, threads = 32 * warps, block_rows = 16 * warps, keys = 64;
/// Below every score. What a row does not see has the score -inf, so that its weight is 0 also
/// where a row sees nothing of a tile and its largest score is still this one.
constexpr float lowest = -1e30f;

/// Sizes of a tile's rows, of keys and of values, in chunks of 16 bytes.
template <int head_dim, int shared_dim>
struct Sizes {
  static constexpr int key_chunks = (head_dim + shared_dim) / 8, value_chunks = head_dim / 8;
  static constexpr int key_bytes = keys * key_chunks * 16, value_bytes = keys * value_chunks * 16;
  static constexpr int stage_bytes = key_bytes + value_bytes, stages = 2;
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

/// Keys [first, first + 64) and their values; those from `end` on repeat the last.
template <class S, int head_dim, int shared_dim>
__device__ void copy_stage(const PrefillArgs& args, int kv_head, int64_t first, int64_t end,
                           uint32_t to) {
  const int row = threadIdx.x / 4, quarter = threadIdx.x % 4;
  const int64_t key = min(first + row, end - 1);
  const uint16_t* k = args.k + key * args.k_row + kv_head * args.k_head;
  const uint16_t* v = args.v + key * args.v_row + kv_head * args.v_head;
#pragma unroll
  for (int i = 0; i < head_dim / 8; i += 4) {
    const int chunk = i + quarter;
    const uint32_t at = (chunk & ~7) * 16;
    copy_async(chunk_at<S::key_chunks>(to, row, chunk & 7) + at, k + 8 * chunk);
    copy_async(chunk_at<S::value_chunks>(to + S::key_bytes, row, chunk & 7) + at, v + 8 * chunk);
  }
  if constexpr (shared_dim > 0) {
    const uint16_t* shared_k = args.shared_k + key * args.shared_row;
#pragma unroll
    for (int i = 0; i < shared_dim / 8; i += 4) {
      const int chunk = i + quarter;
      copy_async(chunk_at<S::key_chunks>(to, row, chunk & 7) + head_dim * 2 + (chunk & ~7) * 16,
                 shared_k + 8 * chunk);
    }
  }
}

/// Rows g and g + 8 of the warp's 16 as mma takes them; rows that there are not are zero.
template <class S>
__device__ void load_queries(uint32_t (&a)[S::steps][4], const PrefillArgs& args, int head,
                             int64_t row) {
  const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const bool there = row + g + 8 * half < args.rows;
    const auto* q = reinterpret_cast<const uint32_t*>(
        args.q + (there ? row + g + 8 * half : 0) * args.q_row + head * args.q_head);
#pragma unroll
    for (int i = 0; i < S::steps; ++i) {
      a[i][half] = there ? q[8 * i + t] : 0;
      a[i][half + 2] = there ? q[8 * i + 4 + t] : 0;
    }
  }
}

/// Of the lane's two rows: the largest score, the sum of weights.
struct Softmax {
  float max[2] = {lowest, lowest}, sum[2] = {};
};

using Scores = float[keys / 8][4];

template <class S>
__device__ void score(Scores& scores, const uint32_t (&queries)[S::steps][4], uint32_t tile) {
  const int lane = threadIdx.x % 32;
  // Matrices: keys 0-7 and 8-15 of a pair of eights, of each the chunks 2i and 2i + 1.
  const uint32_t from = chunk_at<S::key_chunks>(tile, lane / 16 * 8 + lane % 8, lane / 8 % 2);
#pragma unroll
  for (int n = 0; n < keys / 16; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) scores[2 * n][i] = scores[2 * n + 1][i] = 0;
#pragma unroll
    for (int i = 0; i < S::steps; ++i) {
      uint32_t b[4];
      load_matrices(b, (from ^ (i % 4 * 32)) + i / 4 * 128 + n * 16 * (16 * S::key_chunks));
      mma_bf16(scores[2 * n], queries[i], b[0], b[1]);
      mma_bf16(scores[2 * n + 1], queries[i], b[2], b[3]);
    }
  }
}

/// What rows do not see gets the score -inf: `key` is the first of the tile, `position` that of
/// the lane's first row.
__device__ void mask(Scores& scores, int64_t key, int64_t position, int64_t window) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int n = 0; n < keys / 8; ++n) {
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int64_t at = key + 8 * n + 2 * (lane % 4) + i % 2, row = position + i / 2 * 8;
      if (at > row || (window > 0 && at + window <= row)) scores[n][i] = -INFINITY;
    }
  }
}

/// Scores to weights; sums so far are brought to the new largest score.
template <int outputs>
__device__ void weigh(Scores& scores, Softmax& softmax, float (&sums)[outputs][4], float scale) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float max = lowest;
#pragma unroll
    for (int n = 0; n < keys / 8; ++n) {
      max = fmaxf(max, fmaxf(scores[n][2 * half], scores[n][2 * half + 1]));
    }
    max = fmaxf(max, __shfl_xor_sync(every_lane, max, 1));
    max = fmaxf(max, __shfl_xor_sync(every_lane, max, 2));
    max = fmaxf(softmax.max[half], max * scale);
    float sum = 0;
#pragma unroll
    for (int n = 0; n < keys / 8; ++n) {
#pragma unroll
      for (int i = 2 * half; i < 2 * half + 2; ++i) {
        sum += scores[n][i] = fast_exp2(scores[n][i] * scale - max);
      }
    }
    const float factor = fast_exp2(softmax.max[half] - max);
    softmax.max[half] = max;
    softmax.sum[half] = softmax.sum[half] * factor + sum;
#pragma unroll
    for (int n = 0; n < outputs; ++n) {
      sums[n][2 * half] *= factor;
      sums[n][2 * half + 1] *= factor;
    }
  }
}

template <class S>
__device__ void add_values(float (&sums)[S::outputs][4], const Scores& weights, uint32_t tile) {
  const int lane = threadIdx.x % 32;
  const uint32_t from = chunk_at<S::value_chunks>(tile, lane % 16, lane / 16);
#pragma unroll
  for (int step = 0; step < keys / 16; ++step) {
    const uint32_t a[4] = {bf16_pair(weights[2 * step][0], weights[2 * step][1]),
                           bf16_pair(weights[2 * step][2], weights[2 * step][3]),
                           bf16_pair(weights[2 * step + 1][0], weights[2 * step + 1][1]),
                           bf16_pair(weights[2 * step + 1][2], weights[2 * step + 1][3])};
#pragma unroll
    for (int n = 0; n < S::outputs / 2; ++n) {
      uint32_t b[4];
      load_transposed(b, (from ^ (n % 4 * 32)) + n / 4 * 128 + step * 16 * (16 * S::value_chunks));
      mma_bf16(sums[2 * n], a, b[0], b[1]);
      mma_bf16(sums[2 * n + 1], a, b[2], b[3]);
    }
  }
}

template <int outputs>
__device__ void store(const float (&sums)[outputs][4], const Softmax& softmax,
                      const PrefillArgs& args, int head, int64_t row) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float sum = softmax.sum[half];
    sum += __shfl_xor_sync(every_lane, sum, 1);
    sum += __shfl_xor_sync(every_lane, sum, 2);
    const float inverse = 1 / sum;
    const int64_t at = row + lane / 4 + 8 * half;
    if (at >= args.rows) continue;
    uint16_t* out = args.out + at * args.out_row + head * args.out_head + 2 * (lane % 4);
#pragma unroll
    for (int n = 0; n < outputs; ++n) {
      *reinterpret_cast<uint32_t*>(out + 8 * n) =
          bf16_pair(sums[n][2 * half] * inverse, sums[n][2 * half + 1] * inverse);
    }
  }
}

template <int head_dim, int shared_dim>
__global__ void __launch_bounds__(threads, 1) prefill_kernel(PrefillArgs args) {
  using S = Sizes<head_dim, shared_dim>;
  extern __shared__ __align__(128) uint8_t bytes[];
  const uint32_t stages = shared_address(bytes);
  const int head = blockIdx.x, kv_head = head / args.heads_per_kv;
  // The last rows see most keys: they come first, so that the others fill the end.
  const int64_t first_row = int64_t{gridDim.y - 1 - blockIdx.y} * block_rows;
  const int64_t row = first_row + threadIdx.x / 32 * 16;
  const int64_t last_row = min(first_row + block_rows, args.rows) - 1;
  const int64_t end = args.past + last_row + 1;
  int64_t begin = 0;
  if (args.window > 0)
    begin = max(int64_t{0}, args.past + first_row + 1 - args.window) / keys * keys;
  const int tiles = static_cast<int>((end - begin + keys - 1) / keys);
  const auto copy = [&](int tile) {
    if (tile < tiles) {
      copy_stage<S, head_dim, shared_dim>(args, kv_head, begin + tile * keys, end,
                                          stages + tile % S::stages * S::stage_bytes);
    }
    end_copies();
  };
  copy(0);
  uint32_t queries[S::steps][4];
  load_queries<S>(queries, args, head, row);
  float sums[S::outputs][4] = {};
  Softmax softmax;
  const float scale = args.scale * 1.4426950408889634f;
  const int64_t position = args.past + row + threadIdx.x % 32 / 4;
  for (int tile = 0; tile < tiles; ++tile) {
    await_copies<0>();
    __syncthreads();  // the tile is there, and nobody reads the one before it any more
    copy(tile + 1);
    const uint32_t stage = stages + tile % S::stages * S::stage_bytes;
    const int64_t key = begin + tile * keys;
    if (key > args.past + row + 15) continue;  // none of the warp's rows sees these
    Scores scores;
    score<S>(scores, queries, stage);
    if (key + keys > args.past + row + 1 || args.window > 0)
      mask(scores, key, position, args.window);
    weigh(scores, softmax, sums, scale);
    add_values<S>(sums, scores, stage + S::key_bytes);
  }
  store(sums, softmax, args, head, row);
}

using Kernel = void (*)(PrefillArgs);
struct Tiles {
  int head_dim, shared_dim;
  Kernel kernel;
  int shared_bytes;
};
template <int head_dim, int shared_dim>
constexpr Tiles tiles{head_dim, shared_dim, prefill_kernel<head_dim, shared_dim>,
                      2 * Sizes<head_dim, shared_dim>::stage_bytes};
constexpr Tiles table[] = {tiles<128, 64>, tiles<128, 0>, tiles<64, 0>};

const Tiles* find(int head_dim, int shared_dim) noexcept {
  for (const Tiles& entry : table) {
    if (entry.head_dim == head_dim && entry.shared_dim == shared_dim) return &entry;
  }
  return nullptr;
}

}  // namespace

bool prefill_fits(int head_dim, int shared_dim) noexcept {
  return find(head_dim, shared_dim) != nullptr;
}

void prefill(const PrefillArgs& args, const device::Queue& queue) noexcept {
  if (args.rows == 0) return;
  const Tiles& tile = *find(args.head_dim, args.shared_dim);
  cudaFuncSetAttribute(tile.kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, tile.shared_bytes);
  const dim3 grid(static_cast<unsigned>(args.heads), device::blocks_for(args.rows, block_rows));
  tile.kernel<<<grid, threads, static_cast<size_t>(tile.shared_bytes), device::stream_of(queue)>>>(
      args);
}

}  // namespace ktx::ops::cuda
