// Absorbed attention by mma.sync, from sm_80 on.
//
// A block has 32 heads, within 99 KB of shared memory, or 64 where there is more, which asks for
// each cached row half as often. It takes 32 keys at a time; a cached row is key and value, so a
// tile is read once. Scores: a warp has 16 heads and an equal share of the keys, with the queries,
// or the first numbers of them, in registers. Then all threads make weights of them, a few to a
// head. Values: warp w has all heads and numbers 64 w.
#include <algorithm>

#include "core/device/cuda.hpp"
#include "ops/attention/cuda_absorbed_work.cuh"
#include "ops/cuda/launch.cuh"
#include "ops/cuda/tiles.cuh"

namespace ktx::ops::cuda {
namespace {

constexpr int keys = 32, warps = 8, threads = 32 * warps;
constexpr int row_bytes = 2 * mla_row, chunks = row_bytes / 16;
constexpr int tile_bytes = keys * row_bytes;
constexpr int score_stride = keys + 4;        // floats
constexpr int weight_stride = 2 * keys + 16;  // bytes, so that ldmatrix meets no bank twice
constexpr int fp8_chunks = fp8_row_bytes / 16;
constexpr int fp8_tile_bytes = keys * fp8_row_bytes;
static_assert(fp8_row_bytes % 16 == 0 && tile_bytes % (16 * threads) == 0);

/// Steps of 16 numbers of a query: those in registers come first.
constexpr int steps = mla_row / 16;
template <int heads>
constexpr int steps_kept = heads == 32 ? 32 : 12;
template <int heads>
constexpr int other_chunks = 2 * (steps - steps_kept<heads>);

template <int heads, bool fp8>
struct Shared {
  alignas(128) uint8_t queries[heads * (16 * other_chunks<heads>)];
  alignas(128) uint8_t tiles[fp8 ? 1 : 2][tile_bytes];
  alignas(16) uint8_t codes[fp8 ? 2 : 1][fp8 ? fp8_tile_bytes : 16];
  alignas(16) float scores[heads * score_stride];
  alignas(16) uint8_t weights[heads * weight_stride];
  float factors[heads];  // of what was summed before
  float maxima[heads], sums[heads];
};
static_assert(sizeof(Shared<32, true>) < 99 << 10 && sizeof(Shared<32, false>) < 99 << 10);
static_assert(sizeof(Shared<64, true>) < 163 << 10 && sizeof(Shared<64, false>) < 163 << 10);

/// Chunk c (16 bytes) of row r of a tile lies at chunk c ^ (r & 7) of it, so that eight rows' equal
/// chunks lie in different banks. Rows start at multiples of 128 bytes: this is the address of
/// chunk `chunk` < 8; that of chunk ^ x, x < 8, is it ^ (16 x), and that of chunk + 8 it + 128.
template <int row_chunks>
__device__ uint32_t chunk_at(uint32_t tile, int row, int chunk) {
  return tile + row * (16 * row_chunks) + ((chunk ^ (row & 7)) << 4);
}

/// Starts the copy of a row to a tile, by eight threads.
template <int row_chunks, bool swizzled>
__device__ void copy_row(uint32_t tile, int row, const void* data) {
  const int chunk = threadIdx.x % 8;
  const auto* from = static_cast<const uint8_t*>(data) + 16 * chunk;
  const uint32_t to = tile + row * (16 * row_chunks) + 16 * (swizzled ? chunk ^ (row & 7) : chunk);
#pragma unroll
  for (int i = 0; i < row_chunks; i += 8) {
    if (row_chunks % 8 == 0 || i + chunk < row_chunks) copy_async(to + 16 * i, from + 16 * i);
  }
}

/// Tile `tile` of a piece. Keys behind the piece's end repeat the last, so that nothing is read
/// that was not written.
template <int row_chunks, bool swizzled>
__device__ void copy_keys(const AbsorbedWork& work, const Piece& piece, int tile, uint32_t to) {
  constexpr int page_tokens = graph::page_tokens;
  const int key = threadIdx.x / 8, at = min(tile * keys + key, piece.keys - 1);
  const int64_t token = int64_t{piece.pages[at / page_tokens]} * page_tokens + at % page_tokens;
  copy_row<row_chunks, swizzled>(to, key, work.args.cache.data + token * (16 * row_chunks));
}

/// The queries of one of the block's heads; heads that there are not repeat the last.
__device__ const uint16_t* query_of(const AbsorbedWork& work, int64_t row, int head) {
  const int64_t heads = work.args.heads;
  return work.args.q +
         ((row - work.args.row_begin) * heads + min(int64_t{head}, heads - 1)) * mla_row;
}

/// Their numbers that are not in registers.
template <int heads>
__device__ void copy_queries(const AbsorbedWork& work, int64_t row, int first_head, uint32_t to) {
#pragma unroll
  for (int head = threadIdx.x / 8; head < heads; head += threads / 8)
    copy_row<other_chunks<heads>, true>(
        to, head, query_of(work, row, first_head + head) + 16 * steps_kept<heads>);
}

/// Of the warp's 16 heads, as mma takes them.
template <int heads>
struct Queries {
  uint32_t a[steps_kept<heads>][4];
};

template <int heads>
__device__ void load_queries(Queries<heads>& queries, const AbsorbedWork& work, int64_t row,
                             int first_head) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int head = first_head + warp % (heads / 16) * 16 + lane / 4;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const auto* q = reinterpret_cast<const uint32_t*>(query_of(work, row, head + 8 * half));
#pragma unroll
    for (int i = 0; i < steps_kept<heads>; ++i) {
      queries.a[i][half] = q[8 * i + lane % 4];
      queries.a[i][half + 2] = q[8 * i + lane % 4 + 4];
    }
  }
}

/// Rows of codes to a tile of bf16.
__device__ void decode_tile(const uint8_t* codes, uint8_t* tile) {
  const int key = threadIdx.x / 8;
  const uint8_t* row = codes + key * fp8_row_bytes;
#pragma unroll
  for (int chunk = threadIdx.x % 8; chunk < chunks; chunk += 8) {
    *reinterpret_cast<uint4*>(tile + key * row_bytes + ((chunk ^ (key & 7)) << 4)) =
        decoded_chunk(row, chunk);
  }
}

/// The warp's scores to shared memory.
template <int heads>
__device__ void score_tile(const Queries<heads>& kept, uint32_t queries, uint32_t tile,
                           float* scores) {
  constexpr int kept_steps = steps_kept<heads>, row_chunks = other_chunks<heads>;
  constexpr int octets = keys * (heads / 16) / warps / 8;  // of keys
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const int head = warp % (heads / 16) * 16, key = warp / (heads / 16) * (8 * octets);
  const uint32_t from = chunk_at<chunks>(tile, key + lane % 8, lane / 8);
  const uint32_t query = chunk_at<row_chunks>(queries, head + lane % 16, lane / 16);
  float sums[octets][2][4] = {};
#pragma unroll
  for (int i = 0; i < steps; i += 2) {
    uint32_t a[2][4];
#pragma unroll
    for (int k = 0; k < 2; ++k) {
      const int step = i + k, other = step - kept_steps;
      if (other >= 0) {
        load_matrices(a[k], (query ^ (other % 4 * 32)) + other / 4 * 128);
      } else {
#pragma unroll
        for (int r = 0; r < 4; ++r) a[k][r] = kept.a[other < 0 ? step : 0][r];
      }
    }
#pragma unroll
    for (int octet = 0; octet < octets; ++octet) {
      uint32_t b[4];
      load_matrices(b, (from ^ (i / 2 % 2 * 64)) + i / 4 * 128 + octet * (8 * row_bytes));
      mma_bf16(sums[octet][0], a[0], b[0], b[1]);
      mma_bf16(sums[octet][1], a[1], b[2], b[3]);
    }
  }
  float* to = scores + (head + lane / 4) * score_stride + key + 2 * (lane % 4);
#pragma unroll
  for (int octet = 0; octet < octets; ++octet) {
    const auto& [even, odd] = sums[octet];
#pragma unroll
    for (int half = 0; half < 2; ++half)
      *reinterpret_cast<float2*>(to + 8 * octet + 8 * half * score_stride) =
          make_float2(even[2 * half] + odd[2 * half], even[2 * half + 1] + odd[2 * half + 1]);
  }
}

/// Of a head, in the threads that share it.
struct Softmax {
  float max = lowest_score, sum = 0;
};

/// Scores of a tile to weights; `left` keys of it count.
template <int heads, class S>
__device__ void weigh_tile(Softmax& softmax, S& shared, float scale, int left) {
  constexpr int sharing = threads / heads, n = keys / sharing;
  const int head = threadIdx.x / sharing, key = threadIdx.x % sharing * n;
  float scores[n];
  float max = softmax.max;
#pragma unroll
  for (int i = 0; i < n; ++i) {
    scores[i] = shared.scores[head * score_stride + key + i];
    scores[i] = key + i < left ? scores[i] * scale : lowest_score;
    max = fmaxf(max, scores[i]);
  }
#pragma unroll
  for (int step = sharing / 2; step > 0; step /= 2)
    max = fmaxf(max, __shfl_xor_sync(every_lane, max, step));
  float sum = 0;
#pragma unroll
  for (int i = 0; i < n; ++i) sum += scores[i] = fast_exp2(scores[i] - max);
#pragma unroll
  for (int step = sharing / 2; step > 0; step /= 2) sum += __shfl_xor_sync(every_lane, sum, step);
  const float factor = fast_exp2(softmax.max - max);
  softmax.max = max;
  softmax.sum = softmax.sum * factor + sum;
  if (key == 0) shared.factors[head] = factor;
#pragma unroll
  for (int i = 0; i < n; i += 4)
    *reinterpret_cast<uint2*>(shared.weights + head * weight_stride + 2 * (key + i)) =
        make_uint2(bf16_pair(scores[i], scores[i + 1]), bf16_pair(scores[i + 2], scores[i + 3]));
}

/// Sums of the warp's 64 numbers: [16 heads][8 numbers of them][as mma lays them].
template <int heads>
using Sums = float[heads / 16][8][4];

template <int heads>
__device__ void scale_sums(Sums<heads>& sums, const float* factors) {
  float factor[heads / 8];
  bool same = true;
#pragma unroll
  for (int i = 0; i < heads / 8; ++i) {
    factor[i] = factors[8 * i + threadIdx.x % 32 / 4];
    same = same && factor[i] == 1;
  }
  if (__all_sync(every_lane, same)) return;
#pragma unroll
  for (int m = 0; m < heads / 16; ++m)
#pragma unroll
    for (int n = 0; n < 8; ++n)
#pragma unroll
      for (int i = 0; i < 4; ++i) sums[m][n][i] *= factor[2 * m + i / 2];
}

template <int heads>
__device__ void add_values(Sums<heads>& sums, uint32_t tile, uint32_t weights) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
#pragma unroll
  for (int step = 0; step < keys / 16; ++step) {
    const uint32_t from = chunk_at<chunks>(tile, 16 * step + lane % 16, lane / 16) + 128 * warp;
    uint32_t a[heads / 16][4];
#pragma unroll
    for (int m = 0; m < heads / 16; ++m) {
      load_matrices(a[m],
                    weights + (16 * m + lane % 16) * weight_stride + 32 * step + lane / 16 * 16);
    }
#pragma unroll
    for (int n = 0; n < 4; ++n) {
      uint32_t b[4];
      load_transposed(b, from ^ (32 * n));
#pragma unroll
      for (int m = 0; m < heads / 16; ++m) {
        mma_bf16(sums[m][2 * n], a[m], b[0], b[1]);
        mma_bf16(sums[m][2 * n + 1], a[m], b[2], b[3]);
      }
    }
  }
}

template <int heads, class S>
__device__ void store_piece(const Sums<heads>& sums, const Softmax& softmax, S& shared,
                            const AbsorbedWork& work, const Piece& piece, int first_head) {
  constexpr int sharing = threads / heads;
  if (threadIdx.x % sharing == 0) {
    shared.maxima[threadIdx.x / sharing] = softmax.max;
    shared.sums[threadIdx.x / sharing] = softmax.sum;
  }
  __syncthreads();
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
#pragma unroll
  for (int m = 0; m < heads / 8; ++m) {
    const int local = 8 * m + lane / 4, head = first_head + local, i = m % 2 * 2;
    uint16_t* to = sums_of(work, piece, head);
    const float sum = shared.sums[local], inverse = 1 / sum;
    const auto two = [&](int n) {
      return make_float2(sums[m / 2][n][i] * inverse, sums[m / 2][n][i + 1] * inverse);
    };
#pragma unroll
    for (int n = 0; n < 8; n += 2)
      store_16(to == nullptr ? to : to + 64 * warp + 8 * n, two(n), two(n + 1));
    if (to != nullptr && piece.slot >= 0 && warp == 0 && lane % 4 == 0)
      work.weights[int64_t{piece.slot} * work.args.heads + head] =
          make_float2(shared.maxima[local], sum);
  }
}

template <int heads, bool fp8>
__device__ void attend_piece(const AbsorbedWork& work, const Piece& piece, int first_head,
                             Shared<heads, fp8>& shared) {
  const int tiles = (piece.keys + keys - 1) / keys;
  const auto copy = [&](int tile) {
    if (tile < tiles) {
      if constexpr (fp8) {
        copy_keys<fp8_chunks, false>(work, piece, tile, shared_address(shared.codes[tile % 2]));
      } else {
        copy_keys<chunks, true>(work, piece, tile, shared_address(shared.tiles[tile % 2]));
      }
    }
    end_copies();
  };
  copy_queries<heads>(work, piece.row, first_head, shared_address(shared.queries));
  copy(0);
  Queries<heads> queries;
  load_queries<heads>(queries, work, piece.row, first_head);
  Softmax softmax;
  Sums<heads> sums = {};
  for (int tile = 0; tile < tiles; ++tile) {
    await_copies<0>();
    __syncthreads();  // the tile is there, and nobody reads the one before it any more
    copy(tile + 1);
    uint32_t numbers = shared_address(shared.tiles[fp8 ? 0 : tile % 2]);
    if constexpr (fp8) {
      decode_tile(shared.codes[tile % 2], shared.tiles[0]);
      __syncthreads();
    }
    score_tile<heads>(queries, shared_address(shared.queries), numbers, shared.scores);
    __syncthreads();
    weigh_tile<heads>(softmax, shared, work.scale, piece.keys - tile * keys);
    __syncthreads();
    scale_sums<heads>(sums, shared.factors);
    add_values<heads>(sums, numbers, shared_address(shared.weights));
  }
  store_piece<heads>(sums, softmax, shared, work, piece, first_head);
  __syncthreads();  // before the next piece writes what others still read
}

template <int heads, bool fp8>
__global__ void __launch_bounds__(threads, 1)
    absorbed_mma_kernel(const __grid_constant__ AbsorbedWork work) {
  extern __shared__ __align__(128) uint8_t bytes[];
  auto& shared = *reinterpret_cast<Shared<heads, fp8>*>(bytes);
  const int blocks = (work.args.heads + heads - 1) / heads;
  const int group = blockIdx.x / blocks, first_head = blockIdx.x % blocks * heads;
  Todo todo = todo_of(work, group);
  Piece piece = next_piece(work, group, todo);
  await_previous();
  for (; piece.keys > 0; piece = next_piece(work, group, todo))
    attend_piece(work, piece, first_head, shared);
}

template <int heads>
constexpr size_t most_bytes = std::max(sizeof(Shared<heads, true>), sizeof(Shared<heads, false>));

template <int heads>
std::string refusal(const device::GpuLimits& limits) {
  if (limits.capability < 80) return "needs a GPU of compute capability 8.0";
  return limits.shared_bytes >= most_bytes<heads> ? "" : "needs a GPU with more shared memory";
}

template <int heads>
void run(const AbsorbedWork& work, const device::Queue& queue) noexcept {
  const bool fp8 = work.args.cache.format == graph::KvFormat::fp8;
  const auto kernel = fp8 ? absorbed_mma_kernel<heads, true> : absorbed_mma_kernel<heads, false>;
  const size_t bytes = fp8 ? sizeof(Shared<heads, true>) : sizeof(Shared<heads, false>);
  cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                       static_cast<int>(bytes));
  const int blocks = (work.args.heads + heads - 1) / heads;
  launch(kernel, {static_cast<unsigned>(work.groups * blocks), threads, bytes}, queue, work);
}

}  // namespace

const AbsorbedKernel absorbed_mma_64{"mma_64", 64, refusal<64>, run<64>};
const AbsorbedKernel absorbed_mma_32{"mma_32", 32, refusal<32>, run<32>};

}  // namespace ktx::ops::cuda
