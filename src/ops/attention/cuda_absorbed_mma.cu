// Absorbed attention by mma.sync, from sm_80 on and within 99 KB of shared memory.
//
// A block has 32 heads and takes 32 keys at a time; a cached row is key and value, so a tile is
// read once. Scores: warp w has heads 16 (w % 2) and keys 8 (w / 2), with its queries in registers.
// Then eight threads a head make weights of them. Values: warp w has all 32 heads and numbers 64 w.
#include "core/device/cuda.hpp"
#include "ops/attention/cuda_absorbed_work.cuh"
#include "ops/cuda/launch.cuh"
#include "ops/cuda/tiles.cuh"

namespace ktx::ops::cuda {
namespace {

constexpr int heads = 32, keys = 32, warps = 8, threads = 32 * warps;
constexpr int row_bytes = 2 * mla_row, chunks = row_bytes / 16;
constexpr int tile_bytes = keys * row_bytes;
constexpr int score_stride = keys + 4;        // floats
constexpr int weight_stride = 2 * keys + 16;  // bytes, so that ldmatrix meets no bank twice
constexpr int fp8_row_bytes = mla_latents + 4 * (mla_latents / 128) + 2 * mla_rope;
constexpr int fp8_chunks = fp8_row_bytes / 16;
constexpr int fp8_tile_bytes = keys * fp8_row_bytes;
static_assert(fp8_row_bytes % 16 == 0 && tile_bytes % (16 * threads) == 0);

template <bool fp8>
struct Shared {
  alignas(128) uint8_t tiles[fp8 ? 1 : 2][tile_bytes];
  alignas(16) uint8_t codes[fp8 ? 2 : 1][fp8 ? fp8_tile_bytes : 16];
  float scores[heads * score_stride];
  alignas(16) uint8_t weights[heads * weight_stride];
  float factors[heads];  // of what was summed before
  float maxima[heads], sums[heads];
};
static_assert(sizeof(Shared<true>) < 99 << 10 && sizeof(Shared<false>) < 99 << 10);

/// Chunk c (16 bytes) of key k lies at chunk c ^ (k & 7) of its row, so that eight keys' equal
/// chunks lie in different banks. Rows start at multiples of 128 bytes: this is the address of
/// chunk `chunk` < 8; that of chunk ^ x, x < 8, is it ^ (16 x), and that of chunk + 8 it + 128.
__device__ uint32_t chunk_at(uint32_t tile, int key, int chunk) {
  return tile + key * row_bytes + ((chunk ^ (key & 7)) << 4);
}

/// Starts the copy of a row to a tile, by the eight threads that look after it.
template <int row_chunks, bool swizzled>
__device__ void copy_row(uint32_t tile, const void* row) {
  const int key = threadIdx.x / 8, chunk = threadIdx.x % 8;
  const auto* from = static_cast<const uint8_t*>(row) + 16 * chunk;
  const uint32_t to = tile + key * (16 * row_chunks) + 16 * (swizzled ? chunk ^ (key & 7) : chunk);
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
  const int at = min(tile * keys + static_cast<int>(threadIdx.x / 8), piece.keys - 1);
  const int64_t token = int64_t{piece.pages[at / page_tokens]} * page_tokens + at % page_tokens;
  copy_row<row_chunks, swizzled>(to, work.args.cache.data + token * (16 * row_chunks));
}

/// The block's queries; heads that there are not repeat the last.
__device__ void copy_queries(const AbsorbedWork& work, int64_t row, int first_head, uint32_t to) {
  const int head = min(first_head + static_cast<int>(threadIdx.x / 8), work.args.heads - 1);
  copy_row<chunks, true>(
      to, work.args.q + ((row - work.args.row_begin) * work.args.heads + head) * mla_row);
}

/// Of the warp's 16 heads, as mma takes them.
struct Queries {
  uint32_t a[mla_row / 16][4];
};

__device__ void load_queries(Queries& queries, uint32_t tile) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  const uint32_t from = chunk_at(tile, warp % 2 * 16 + lane % 16, lane / 16);
#pragma unroll
  for (int i = 0; i < mla_row / 16; ++i) {
    load_matrices(queries.a[i], (from ^ (i % 4 * 32)) + i / 4 * 128);
  }
}

/// Rows of codes to a tile of bf16.
__device__ void decode_tile(const uint8_t* codes, uint8_t* tile) {
  const int key = threadIdx.x / 8;
  const uint8_t* row = codes + key * fp8_row_bytes;
#pragma unroll
  for (int chunk = threadIdx.x % 8; chunk < chunks; chunk += 8) {
    uint4 numbers;
    if (chunk < mla_latents / 8) {
      const float scale = reinterpret_cast<const float*>(row + mla_latents)[chunk / 16];
      numbers = scaled_codes(*reinterpret_cast<const uint2*>(row + 8 * chunk), scale);
    } else {
      numbers = *reinterpret_cast<const uint4*>(row + fp8_row_bytes - 2 * mla_rope +
                                                16 * (chunk - mla_latents / 8));
    }
    *reinterpret_cast<uint4*>(tile + key * row_bytes + ((chunk ^ (key & 7)) << 4)) = numbers;
  }
}

/// The warp's scores to shared memory.
__device__ void score_tile(const Queries& queries, uint32_t tile, float* scores) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, key = warp / 2 * 8;
  const uint32_t from = chunk_at(tile, key + lane % 8, lane / 8);
  float even[4] = {}, odd[4] = {};
#pragma unroll
  for (int i = 0; i < mla_row / 32; ++i) {
    uint32_t b[4];
    load_matrices(b, (from ^ (i % 2 * 64)) + i / 2 * 128);
    mma_bf16(even, queries.a[2 * i], b[0], b[1]);
    mma_bf16(odd, queries.a[2 * i + 1], b[2], b[3]);
  }
  float* to = scores + (warp % 2 * 16 + lane / 4) * score_stride + key + 2 * (lane % 4);
  *reinterpret_cast<float2*>(to) = make_float2(even[0] + odd[0], even[1] + odd[1]);
  *reinterpret_cast<float2*>(to + 8 * score_stride) =
      make_float2(even[2] + odd[2], even[3] + odd[3]);
}

/// Of a head, in the eight threads that share it.
struct Softmax {
  float max = lowest_score, sum = 0;
};

/// Scores of a tile to weights; `left` keys of it count.
template <class S>
__device__ void weigh_tile(Softmax& softmax, S& shared, float scale, int left) {
  const int head = threadIdx.x / 8, key = threadIdx.x % 8 * 4;
  const float4 read = *reinterpret_cast<const float4*>(shared.scores + head * score_stride + key);
  float scores[4] = {read.x, read.y, read.z, read.w};
  float max = softmax.max;
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    scores[i] = key + i < left ? scores[i] * scale : lowest_score;
    max = fmaxf(max, scores[i]);
  }
#pragma unroll
  for (int step = 4; step > 0; step /= 2) max = fmaxf(max, __shfl_xor_sync(every_lane, max, step));
  float sum = 0;
#pragma unroll
  for (int i = 0; i < 4; ++i) sum += scores[i] = fast_exp2(scores[i] - max);
#pragma unroll
  for (int step = 4; step > 0; step /= 2) sum += __shfl_xor_sync(every_lane, sum, step);
  const float factor = fast_exp2(softmax.max - max);
  softmax.max = max;
  softmax.sum = softmax.sum * factor + sum;
  if (key == 0) shared.factors[head] = factor;
  *reinterpret_cast<uint2*>(shared.weights + head * weight_stride + 2 * key) =
      make_uint2(bf16_pair(scores[0], scores[1]), bf16_pair(scores[2], scores[3]));
}

/// Sums of the warp's 64 numbers: [half of the heads][8 numbers of them][as mma lays them].
using Sums = float[2][8][4];

__device__ void add_values(Sums& sums, uint32_t tile, uint32_t weights, const float* factors) {
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32, g = lane / 4;
  const float factor[4] = {factors[g], factors[g + 8], factors[g + 16], factors[g + 24]};
  const bool same = factor[0] == 1 && factor[1] == 1 && factor[2] == 1 && factor[3] == 1;
  if (!__all_sync(every_lane, same)) {
#pragma unroll
    for (int m = 0; m < 2; ++m)
#pragma unroll
      for (int n = 0; n < 8; ++n)
#pragma unroll
        for (int i = 0; i < 4; ++i) sums[m][n][i] *= factor[2 * m + i / 2];
  }
#pragma unroll
  for (int step = 0; step < keys / 16; ++step) {
    const uint32_t from = chunk_at(tile, 16 * step + lane % 16, lane / 16) + 128 * warp;
    uint32_t a[2][4];
#pragma unroll
    for (int m = 0; m < 2; ++m) {
      load_matrices(a[m],
                    weights + (16 * m + lane % 16) * weight_stride + 32 * step + lane / 16 * 16);
    }
#pragma unroll
    for (int n = 0; n < 4; ++n) {
      uint32_t b[4];
      load_transposed(b, from ^ (32 * n));
#pragma unroll
      for (int m = 0; m < 2; ++m) {
        mma_bf16(sums[m][2 * n], a[m], b[0], b[1]);
        mma_bf16(sums[m][2 * n + 1], a[m], b[2], b[3]);
      }
    }
  }
}

/// The sums of a piece: divided to `out`, or as they are to its slot.
template <class S>
__device__ void store_sums(const Sums& sums, const Softmax& softmax, S& shared,
                           const AbsorbedWork& work, const Piece& piece, int first_head) {
  if (threadIdx.x % 8 == 0) {
    shared.maxima[threadIdx.x / 8] = softmax.max;
    shared.sums[threadIdx.x / 8] = softmax.sum;
  }
  __syncthreads();
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
#pragma unroll
  for (int m = 0; m < 4; ++m) {
    const int local = 8 * m + lane / 4, head = first_head + local;
    if (head >= work.args.heads) continue;
    const int number = 64 * warp + 2 * (lane % 4);
    const float inverse = 1 / shared.sums[local];
    const int64_t slot_head = int64_t{piece.slot} * work.args.heads + head;
    uint16_t* out = work.args.out +
                    ((piece.row - work.args.row_begin) * work.args.heads + head) * mla_latents +
                    number;
    float* partial = work.partial + slot_head * mla_latents + number;
#pragma unroll
    for (int n = 0; n < 8; ++n) {
      const float low = sums[m / 2][n][m % 2 * 2], high = sums[m / 2][n][m % 2 * 2 + 1];
      if (piece.slot < 0) {
        *reinterpret_cast<uint32_t*>(out + 8 * n) = bf16_pair(low * inverse, high * inverse);
      } else {
        *reinterpret_cast<float2*>(partial + 8 * n) = make_float2(low, high);
      }
    }
    if (piece.slot >= 0 && warp == 0 && lane % 4 == 0) {
      work.weights[slot_head] = make_float2(shared.maxima[local], shared.sums[local]);
    }
  }
}

template <bool fp8>
__device__ void attend_piece(const AbsorbedWork& work, const Piece& piece, int first_head,
                             Shared<fp8>& shared) {
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
  const uint32_t query_tile = shared_address(shared.tiles[fp8 ? 0 : 1]);
  copy_queries(work, piece.row, first_head, query_tile);
  copy(0);
  await_copies<0>();
  __syncthreads();
  Queries queries;
  load_queries(queries, query_tile);
  Softmax softmax;
  Sums sums = {};
  for (int tile = 0; tile < tiles; ++tile) {
    await_copies<0>();
    __syncthreads();  // the tile is there, and nobody reads the one before it any more
    copy(tile + 1);
    uint32_t numbers = shared_address(shared.tiles[fp8 ? 0 : tile % 2]);
    if constexpr (fp8) {
      decode_tile(shared.codes[tile % 2], shared.tiles[0]);
      __syncthreads();
    }
    score_tile(queries, numbers, shared.scores);
    __syncthreads();
    weigh_tile(softmax, shared, work.scale, piece.keys - tile * keys);
    __syncthreads();
    add_values(sums, numbers, shared_address(shared.weights), shared.factors);
  }
  store_sums(sums, softmax, shared, work, piece, first_head);
  __syncthreads();  // before the next piece writes what others still read
}

template <bool fp8>
__global__ void __launch_bounds__(threads, 1) absorbed_mma_kernel(AbsorbedWork work) {
  extern __shared__ __align__(128) uint8_t bytes[];
  auto& shared = *reinterpret_cast<Shared<fp8>*>(bytes);
  const int blocks = (work.args.heads + heads - 1) / heads;
  const int group = blockIdx.x / blocks, first_head = blockIdx.x % blocks * heads;
  const PageSchedule schedule = schedule_of(work);
  PageRange part = schedule.part_of(group);
  if (part.begin == part.end) return await_previous();
  int32_t row = find_row(work, part.begin);
  for (bool first = true; part.begin < part.end; first = false) {
    while (pages_of_row(work, row).end <= part.begin) ++row;
    const Piece piece = next_piece(work, schedule, group, row, part.begin, part.end);
    if (first) await_previous();
    attend_piece(work, piece, first_head, shared);
  }
}

std::string refusal(int capability) {
  return capability >= 80 ? "" : "needs a GPU of compute capability 8.0";
}

void run(const AbsorbedWork& work, const device::Queue& queue) noexcept {
  const bool fp8 = work.args.cache.format == graph::KvFormat::fp8;
  const auto kernel = fp8 ? absorbed_mma_kernel<true> : absorbed_mma_kernel<false>;
  const int bytes = fp8 ? sizeof(Shared<true>) : sizeof(Shared<false>);
  cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  const int blocks = (work.args.heads + heads - 1) / heads;
  launch(kernel, {static_cast<unsigned>(work.groups * blocks), threads, static_cast<size_t>(bytes)},
         queue, work);
}

}  // namespace

const AbsorbedKernel absorbed_mma{"mma", heads, refusal, run};

}  // namespace ktx::ops::cuda
