// Absorbed attention by wgmma, for sm_90.
//
// A block has 64 heads and takes a page, 64 keys, at a time: a cached row is key and value, so a
// tile is read once. The first warpgroup makes the scores and weights; meanwhile the second starts
// the copy of the next page. Then each adds its half of the values' numbers.
#include "core/device/cuda.hpp"
#include "ops/attention/cuda_absorbed_work.cuh"
#include "ops/cuda/launch.cuh"
#include "ops/cuda/tiles.cuh"
#include "ops/cuda/wgmma.cuh"

namespace ktx::ops::cuda {
namespace {

constexpr int heads = 64, keys = 64, threads = 256;
constexpr int block_bytes = keys * 128;  // 64 numbers of 64 rows
constexpr int blocks = mla_row / 64, tile_bytes = blocks * block_bytes;
constexpr int fp8_row_bytes = mla_latents + 4 * (mla_latents / 128) + 2 * mla_rope;
static_assert(heads == keys && keys == graph::page_tokens);

template <bool fp8>
struct Shared {
  uint8_t queries[tile_bytes];
  uint8_t tiles[fp8 ? 1 : 2][tile_bytes];
  uint8_t weights[block_bytes];
  uint8_t codes[fp8 ? keys * fp8_row_bytes : 16];
  float factors[heads];  // of what was summed before
  float maxima[heads], sums[heads];
};
constexpr int alignment = 1024;
static_assert(sizeof(Shared<true>) + alignment <= 227 << 10);
static_assert(sizeof(Shared<false>) + alignment <= 227 << 10);

/// Chunk `chunk` (16 bytes) of a tile's row, as wgmma.cuh describes it.
__device__ uint32_t chunk_at(int row, int chunk) {
  return chunk / 8 * block_bytes + row * 128 + ((chunk % 8 ^ (row & 7)) << 4);
}

/// Queries of the block's heads; those that there are not repeat the last.
[[maybe_unused]] __device__ void copy_queries(const AbsorbedWork& work, int64_t row, int first_head,
                                              uint32_t to) {
  const int chunk = threadIdx.x % 8;
  for (int i = threadIdx.x / 8; i < heads; i += threads / 8) {
    const int head = min(first_head + i, work.args.heads - 1);
    const uint16_t* q =
        work.args.q + ((row - work.args.row_begin) * work.args.heads + head) * mla_row;
#pragma unroll
    for (int b = 0; b < blocks; ++b) {
      copy_async(to + chunk_at(i, chunk) + b * block_bytes, q + 8 * chunk + 64 * b);
    }
  }
}

/// A page of a piece, by one warpgroup. Keys behind the piece's end repeat the last, so that
/// nothing is read that was not written.
template <bool fp8>
__device__ void copy_page(const AbsorbedWork& work, const Piece& piece, int page, uint32_t to) {
  constexpr int row_bytes = fp8 ? fp8_row_bytes : 2 * mla_row, chunks = row_bytes / 16;
  const int lane = threadIdx.x % 128, chunk = lane % 8;
  const int last = min(keys, piece.keys - page * keys) - 1;
  const std::byte* first = work.args.cache.data + int64_t{piece.pages[page]} * keys * row_bytes;
#pragma unroll
  for (int i = 0; i < keys; i += 16) {
    const int key = lane / 8 + i;
    const std::byte* from = first + min(key, last) * row_bytes + 16 * chunk;
    const uint32_t at = fp8 ? to + key * row_bytes + 16 * chunk : to + chunk_at(key, chunk);
#pragma unroll
    for (int b = 0; b < chunks; b += 8) {
      if (chunks % 8 != 0 && b + chunk >= chunks) continue;
      copy_async(at + (fp8 ? 16 * b : b / 8 * block_bytes), from + 16 * b);
    }
  }
}

/// Rows of codes to a tile of bf16: four threads a row.
[[maybe_unused]] __device__ void decode_page(const uint8_t* codes, uint8_t* tile) {
  const int key = threadIdx.x / 4;
  const uint8_t* row = codes + key * fp8_row_bytes;
#pragma unroll 6
  for (int chunk = threadIdx.x % 4; chunk < mla_row / 8; chunk += 4) {
    uint4 numbers;
    if (chunk < mla_latents / 8) {
      const float scale = reinterpret_cast<const float*>(row + mla_latents)[chunk / 16];
      numbers = scaled_codes(*reinterpret_cast<const uint2*>(row + 8 * chunk), scale);
    } else {
      numbers = *reinterpret_cast<const uint4*>(row + fp8_row_bytes - 2 * mla_rope +
                                                16 * (chunk - mla_latents / 8));
    }
    *reinterpret_cast<uint4*>(tile + chunk_at(key, chunk)) = numbers;
  }
}

/// Of the two heads that a lane of the first warpgroup shares with three others.
struct Softmax {
  float max[2] = {lowest_score, lowest_score}, sum[2] = {};
};

[[maybe_unused]] __device__ float max_of_four(float x) {
  x = fmaxf(x, __shfl_xor_sync(every_lane, x, 1));
  return fmaxf(x, __shfl_xor_sync(every_lane, x, 2));
}
[[maybe_unused]] __device__ float sum_of_four(float x) {
  x += __shfl_xor_sync(every_lane, x, 1);
  return x + __shfl_xor_sync(every_lane, x, 2);
}

/// Scores to weights in shared memory; `left` keys of the page count.
template <class S>
__device__ void weigh(float (&scores)[keys / 2], Softmax& softmax, S& shared, float scale,
                      int left) {
  const int lane = threadIdx.x % 32, t = lane % 4, head = threadIdx.x / 32 * 16 + lane / 4;
  if (left < keys) {
#pragma unroll
    for (int i = 0; i < keys / 2; ++i) {
      if (i / 4 * 8 + 2 * t + i % 2 >= left) scores[i] = lowest_score;
    }
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float max = lowest_score;
#pragma unroll
    for (int j = 2 * half; j < keys / 2; j += 4) max = fmaxf(max, fmaxf(scores[j], scores[j + 1]));
    max = fmaxf(softmax.max[half], max_of_four(max) * scale);
    float sum = 0;
#pragma unroll
    for (int j = 2 * half; j < keys / 2; j += 4) {
      const float low = fast_exp2(scores[j] * scale - max);
      const float high = fast_exp2(scores[j + 1] * scale - max);
      sum += low + high;
      *reinterpret_cast<uint32_t*>(shared.weights + chunk_at(head + 8 * half, j / 4) + 4 * t) =
          bf16_pair(low, high);
    }
    const float factor = fast_exp2(softmax.max[half] - max);
    softmax.max[half] = max;
    softmax.sum[half] = softmax.sum[half] * factor + sum;  // of the lane's keys
    if (t == 0) shared.factors[head + 8 * half] = factor;
  }
}

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

/// 64 heads, half of the latents.
using Sums = float[mla_latents / 4];

template <class S>
__device__ void score_page(Softmax& softmax, S& shared, uint32_t tile, float scale, int left) {
  float scores[keys / 2];
  const uint64_t a = matrix_along(shared_address(shared.queries)), b = matrix_along(tile);
  begin_products();
#pragma unroll
  for (int i = 0; i < mla_row / 16; ++i) {
    const uint64_t at = i / 4 * (block_bytes / 16) + i % 4 * 2;
    multiply_64x64(scores, a + at, b + at, i > 0);
  }
  await_products();
  weigh(scores, softmax, shared, scale, left);
}

template <class S>
__device__ void add_values(Sums& sums, S& shared, uint32_t tile) {
  const int lane = threadIdx.x % 32, head = threadIdx.x % 128 / 32 * 16 + lane / 4;
  const float factor[2] = {shared.factors[head], shared.factors[head + 8]};
  if (!__all_sync(every_lane, factor[0] == 1 && factor[1] == 1)) {
#pragma unroll
    for (int i = 0; i < mla_latents / 4; ++i) sums[i] *= factor[i / 2 % 2];
  }
  const uint64_t a = matrix_along(shared_address(shared.weights));
  const uint64_t b = matrix_across(tile + threadIdx.x / 128 * (4 * block_bytes), block_bytes);
  begin_products();
#pragma unroll
  for (int i = 0; i < keys / 16; ++i) multiply_64x256(sums, a + 2 * i, b + 128 * i, 1);
  await_products();
}

/// The sums of a piece: divided to `out`, or as they are to its slot.
template <class S>
__device__ void store_sums(const Sums& sums, const Softmax& softmax, S& shared,
                           const AbsorbedWork& work, const Piece& piece, int first_head) {
  const int lane = threadIdx.x % 32, t = lane % 4, local = threadIdx.x % 128 / 32 * 16 + lane / 4;
  if (threadIdx.x < 128) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float sum = sum_of_four(softmax.sum[half]);
      if (t == 0) {
        shared.maxima[local + 8 * half] = softmax.max[half];
        shared.sums[local + 8 * half] = sum;
      }
    }
  }
  __syncthreads();
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int head = first_head + local + 8 * half;
    if (head >= work.args.heads) continue;
    const float sum = shared.sums[local + 8 * half], inverse = 1 / sum;
    const int number = threadIdx.x / 128 * (mla_latents / 2) + 2 * t;
    const int64_t slot_head = int64_t{piece.slot} * work.args.heads + head;
    uint16_t* out = work.args.out +
                    ((piece.row - work.args.row_begin) * work.args.heads + head) * mla_latents +
                    number;
    float* partial = work.partial + slot_head * mla_latents + number;
#pragma unroll
    for (int j = 0; j < mla_latents / 16; ++j) {
      const float low = sums[4 * j + 2 * half], high = sums[4 * j + 2 * half + 1];
      if (piece.slot < 0) {
        *reinterpret_cast<uint32_t*>(out + 8 * j) = bf16_pair(low * inverse, high * inverse);
      } else {
        *reinterpret_cast<float2*>(partial + 8 * j) = make_float2(low, high);
      }
    }
    if (piece.slot >= 0 && threadIdx.x < 128 && t == 0) {
      work.weights[slot_head] = make_float2(shared.maxima[local + 8 * half], sum);
    }
  }
}

template <bool fp8>
__device__ void attend_piece(const AbsorbedWork& work, const Piece& piece, int first_head,
                             Shared<fp8>& shared) {
  const int pages = (piece.keys + keys - 1) / keys;
  const bool scores = threadIdx.x < 128;  // else this warpgroup copies
  const auto copy = [&](int page) {
    if (page < pages) {
      copy_page<fp8>(work, piece, page,
                     shared_address(fp8 ? shared.codes : shared.tiles[fp8 ? 0 : page % 2]));
    }
    end_copies();
  };
  copy_queries(work, piece.row, first_head, shared_address(shared.queries));
  if (!scores) copy(0);
  end_copies();
  Softmax softmax;
  Sums sums = {};
  for (int page = 0; page < pages; ++page) {
    const uint32_t tile = shared_address(shared.tiles[fp8 ? 0 : page % 2]);
    await_copies<0>();
    if constexpr (fp8) {
      __syncthreads();  // the codes are there, and nobody reads the page before
      decode_page(shared.codes, shared.tiles[0]);
    }
    show_to_products();
    __syncthreads();  // the page is there, and nobody reads the one before it any more
    if (scores) {
      score_page(softmax, shared, tile, work.scale, piece.keys - page * keys);
      show_to_products();
    } else {
      copy(page + 1);
    }
    __syncthreads();
    add_values(sums, shared, tile);
  }
  store_sums(sums, softmax, shared, work, piece, first_head);
  __syncthreads();  // before the next piece writes what others still read
}

template <bool fp8>
__global__ void __launch_bounds__(threads, 1) absorbed_wgmma_kernel(AbsorbedWork work) {
  extern __shared__ uint8_t bytes[];
  const uint32_t offset = (alignment - shared_address(bytes) % alignment) % alignment;
  auto& shared = *reinterpret_cast<Shared<fp8>*>(bytes + offset);
  const int head_blocks = (work.args.heads + heads - 1) / heads;
  const int group = blockIdx.x / head_blocks, first_head = blockIdx.x % head_blocks * heads;
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

#else

template <bool fp8>
__global__ void absorbed_wgmma_kernel(AbsorbedWork) {}  // is not run there

#endif

std::string refusal(int capability) {
  if (!built_for_wgmma()) return "was built without code for compute capability 9.0";
  return capability == 90 ? "" : "needs a GPU of compute capability 9.0";
}

void run(const AbsorbedWork& work, const device::Queue& queue) noexcept {
  const bool fp8 = work.args.cache.format == graph::KvFormat::fp8;
  const auto kernel = fp8 ? absorbed_wgmma_kernel<true> : absorbed_wgmma_kernel<false>;
  const int bytes =
      alignment + static_cast<int>(fp8 ? sizeof(Shared<true>) : sizeof(Shared<false>));
  cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  const int head_blocks = (work.args.heads + heads - 1) / heads;
  launch(kernel,
         {static_cast<unsigned>(work.groups * head_blocks), threads, static_cast<size_t>(bytes)},
         queue, work);
}

}  // namespace

const AbsorbedKernel absorbed_wgmma{"wgmma", heads, refusal, run};

}  // namespace ktx::ops::cuda
