// Attention of many tokens by wgmma, for sm_90 (FlashAttention-3, arXiv 2407.08608).
//
// A block has 128 rows of one head, a warpgroup 64 of them with scores and sums in registers, and
// takes 128 keys at a time; the third warpgroup has keys and values copied. The weights of a tile
// are made while the products with the one before are under way.
#include "core/device/cuda.hpp"
#include "ops/attention/cuda_prefill_kernels.hpp"
#include "ops/cuda/tiles.cuh"
#include "ops/cuda/tma.cuh"
#include "ops/cuda/wgmma.cuh"

namespace ktx::ops::cuda {
namespace {

constexpr int warpgroup = 128, threads = 3 * warpgroup, block_rows = 128, keys = 128;
constexpr int head_dim = 128, stages = 2;
constexpr int block_bytes = keys * 128;  // 64 numbers of 128 rows
static_assert(block_rows == keys);
/// Blocks of 64 numbers of queries and keys.
template <int shared_dim>
constexpr int key_blocks = (head_dim + shared_dim) / 64;
constexpr int value_blocks = head_dim / 64;

/// Barriers of a tile that is copied, used, and copied over.
struct Tile {
  uint64_t there[stages], done_with[stages];
};

template <int shared_dim>
struct Shared {
  uint8_t queries[key_blocks<shared_dim>][block_bytes];
  uint8_t keys[stages][key_blocks<shared_dim>][block_bytes];
  uint8_t values[stages][value_blocks][block_bytes];
  uint64_t queries_there;
  Tile key_tile, value_tile;
};
constexpr int alignment = 1024;
static_assert(sizeof(Shared<64>) + alignment <= 227 << 10);

/// Where tiles come from.
struct Maps {
  CUtensorMap q, k, shared_k, v;
};

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

constexpr int registers = 240, copying_registers = 24;  // of 168 each
/// Below every score. What a row does not see has the score -inf, so that its weight is 0 also
/// where a row sees nothing of a tile and its largest score is still this one.
constexpr float lowest = -1e30f;

/// What a block does: rows from `first_row` on, of which the warpgroup's begin with `row`, and
/// tiles of keys from `begin` on.
struct Span {
  int64_t first_row, row, begin;
  int tiles;
};

__device__ Span span_of(const PrefillArgs& args) {
  // The last rows see most keys: they come first, so that the others fill the end.
  const int64_t first_row = int64_t{gridDim.y - 1 - blockIdx.y} * block_rows;
  const int64_t end = args.past + min(first_row + block_rows, args.rows);
  int64_t begin = 0;
  if (args.window > 0)
    begin = max(int64_t{0}, args.past + first_row + 1 - args.window) / keys * keys;
  return {first_row, first_row + threadIdx.x / warpgroup * 64, begin,
          static_cast<int>((end - begin + keys - 1) / keys)};
}

__device__ bool odd_round(int tile) {
  return tile / stages % 2 != 0;
}

/// By one thread: has all tiles copied, each as soon as there is room for it.
template <int shared_dim>
__device__ void copy_tiles(const PrefillArgs& args, const Maps& maps, const Span& span,
                           Shared<shared_dim>& shared) {
  const int head = blockIdx.x, kv_head = head / args.heads_per_kv;
  constexpr int n = key_blocks<shared_dim>;
  const uint32_t queries_there = shared_address(&shared.queries_there);
  expect_bytes(queries_there, n * block_bytes);
  for (int b = 0; b < n; ++b)
    copy_tile(shared_address(shared.queries[b]), maps.q, 64 * b, head,
              static_cast<int>(span.first_row), queries_there);
  const auto room = [](Tile& barriers, int tile, uint32_t bytes) {
    const int stage = tile % stages;
    if (tile >= stages)
      await_phase(shared_address(&barriers.done_with[stage]), odd_round(tile) ? 0 : 1);
    const uint32_t there = shared_address(&barriers.there[stage]);
    expect_bytes(there, bytes);
    return there;
  };
  for (int tile = 0; tile < span.tiles; ++tile) {
    const int key = static_cast<int>(span.begin) + tile * keys, stage = tile % stages;
    const uint32_t keys_there = room(shared.key_tile, tile, n * block_bytes);
    for (int b = 0; b < n; ++b) {
      const bool own = b < head_dim / 64;
      copy_tile(shared_address(shared.keys[stage][b]), own ? maps.k : maps.shared_k,
                own ? 64 * b : 0, own ? kv_head : 0, key, keys_there);
    }
    const uint32_t values_there = room(shared.value_tile, tile, value_blocks * block_bytes);
    for (int b = 0; b < value_blocks; ++b)
      copy_tile(shared_address(shared.values[stage][b]), maps.v, 64 * b, kv_head, key,
                values_there);
  }
}

__device__ void await_tile(const Tile& barriers, int tile) {
  await_phase(shared_address(&barriers.there[tile % stages]), odd_round(tile));
}
/// By all of a warpgroup, after their products.
__device__ void leave_tile(const Tile& barriers, int tile) {
  if (threadIdx.x % 32 == 0) arrive_at(shared_address(&barriers.done_with[tile % stages]));
}

/// Of the lane's two rows, 64 x 128 scores of a warpgroup, and their sums.
using Scores = float[keys / 2];
using Sums = float[head_dim / 2];
using Weights = uint32_t[keys / 16][4];

template <int shared_dim>
__device__ void begin_scores(Scores& scores, Shared<shared_dim>& shared, int tile) {
  const int rows = static_cast<int>(threadIdx.x) / warpgroup * 64 * 128;  // bytes before them
  const uint64_t a = matrix_along(shared_address(shared.queries) + rows);
  const uint64_t b = matrix_along(shared_address(shared.keys[tile % stages]));
#pragma unroll
  for (int i = 0; i < 4 * key_blocks<shared_dim>; ++i) {
    const uint64_t at = i / 4 * (block_bytes / 16) + i % 4 * 2;
    multiply_64x128(scores, a + at, b + at, i > 0);
  }
  end_products();
}

template <int shared_dim>
__device__ void begin_sums(Sums& sums, const Weights& weights, Shared<shared_dim>& shared,
                           int tile) {
  const uint64_t b = matrix_across(shared_address(shared.values[tile % stages]), block_bytes);
#pragma unroll
  for (int i = 0; i < keys / 16; ++i) multiply_64x128(sums, weights[i], b + 128 * i, 1);
  end_products();
}

/// What rows do not see gets the score -inf: `key` is the first of the tile, `position` that of
/// the lane's first row.
__device__ void mask(Scores& scores, int64_t key, int64_t position, int64_t window) {
#pragma unroll
  for (int i = 0; i < keys / 2; ++i) {
    const int64_t at = key + i / 4 * 8 + threadIdx.x % 4 * 2 + i % 2;
    const int64_t row = position + i / 2 % 2 * 8;
    if (at > row || (window > 0 && at + window <= row)) scores[i] = -INFINITY;
  }
}

struct Softmax {
  float max[2] = {lowest, lowest}, sum[2] = {};
};

/// Scores to weights; the factors of sums so far.
__device__ float2 weigh(Scores& scores, Softmax& softmax, float scale) {
  float factors[2];
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float max = lowest;
#pragma unroll
    for (int i = 2 * half; i < keys / 2; i += 4) max = fmaxf(max, fmaxf(scores[i], scores[i + 1]));
    max = fmaxf(max, __shfl_xor_sync(every_lane, max, 1));
    max = fmaxf(max, __shfl_xor_sync(every_lane, max, 2));
    max = fmaxf(softmax.max[half], max * scale);
    float sum = 0;
#pragma unroll
    for (int i = 2 * half; i < keys / 2; i += 4) {
      scores[i] = fast_exp2(scores[i] * scale - max);
      scores[i + 1] = fast_exp2(scores[i + 1] * scale - max);
      sum += scores[i] + scores[i + 1];
    }
    factors[half] = fast_exp2(softmax.max[half] - max);
    softmax.max[half] = max;
    softmax.sum[half] = softmax.sum[half] * factors[half] + sum;  // of the lane's keys
  }
  return make_float2(factors[0], factors[1]);
}

__device__ void round_weights(Weights& weights, const Scores& scores) {
#pragma unroll
  for (int i = 0; i < keys / 16; ++i)
#pragma unroll
    for (int r = 0; r < 4; ++r)
      weights[i][r] = bf16_pair(scores[8 * i + 2 * r], scores[8 * i + 2 * r + 1]);
}

__device__ void store(const Sums& sums, const Softmax& softmax, const PrefillArgs& args,
                      int64_t row) {
  const int lane = threadIdx.x % 32;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    float sum = softmax.sum[half];
    sum += __shfl_xor_sync(every_lane, sum, 1);
    sum += __shfl_xor_sync(every_lane, sum, 2);
    const float inverse = 1 / sum;
    const int64_t at = row + threadIdx.x % warpgroup / 32 * 16 + lane / 4 + 8 * half;
    if (at >= args.rows) continue;
    uint16_t* out = args.out + at * args.out_row + blockIdx.x * args.out_head + 2 * (lane % 4);
#pragma unroll
    for (int n = 0; n < head_dim / 8; ++n) {
      *reinterpret_cast<uint32_t*>(out + 8 * n) =
          bf16_pair(sums[4 * n + 2 * half] * inverse, sums[4 * n + 2 * half + 1] * inverse);
    }
  }
}

/// A warpgroup's 64 rows.
template <int shared_dim>
__device__ void attend(const PrefillArgs& args, const Span& span, Shared<shared_dim>& shared) {
  const float scale = args.scale * 1.4426950408889634f;
  const int64_t first = args.past + span.row;  // position
  const int64_t position = first + threadIdx.x % warpgroup / 32 * 16 + threadIdx.x % 32 / 4;
  Softmax softmax;
  Sums sums = {};
  Scores scores;
  Weights weights;
  const auto weights_of = [&](int tile) {
    const int64_t key = span.begin + int64_t{tile} * keys;
    if (key + keys > first + 1 || args.window > 0) mask(scores, key, position, args.window);
    return weigh(scores, softmax, scale);
  };
  await_phase(shared_address(&shared.queries_there), 0);
  await_tile(shared.key_tile, 0);
  begin_products();
  begin_scores(scores, shared, 0);
  await_groups<0>();
  leave_tile(shared.key_tile, 0);
  weights_of(0);
  round_weights(weights, scores);
  for (int tile = 1; tile < span.tiles; ++tile) {
    await_tile(shared.key_tile, tile);
    begin_products();
    begin_scores(scores, shared, tile);
    await_tile(shared.value_tile, tile - 1);
    begin_sums(sums, weights, shared, tile - 1);
    await_groups<1>();
    leave_tile(shared.key_tile, tile);
    const float2 factors = weights_of(tile);
    await_groups<0>();
    leave_tile(shared.value_tile, tile - 1);
#pragma unroll
    for (int i = 0; i < head_dim / 2; ++i) sums[i] *= i / 2 % 2 == 0 ? factors.x : factors.y;
    round_weights(weights, scores);
  }
  await_tile(shared.value_tile, span.tiles - 1);
  begin_products();
  begin_sums(sums, weights, shared, span.tiles - 1);
  await_groups<0>();
  store(sums, softmax, args, span.row);
}

template <int shared_dim>
__global__ void __launch_bounds__(threads, 1)
    prefill_wgmma_kernel(const __grid_constant__ PrefillArgs args,
                         const __grid_constant__ Maps maps) {
  extern __shared__ uint8_t bytes[];
  const uint32_t offset = (alignment - shared_address(bytes) % alignment) % alignment;
  auto& shared = *reinterpret_cast<Shared<shared_dim>*>(bytes + offset);
  if (threadIdx.x == 0) {
    make_barrier(shared_address(&shared.queries_there), 1);
    for (Tile* tile : {&shared.key_tile, &shared.value_tile}) {
      for (int i = 0; i < stages; ++i) {
        make_barrier(shared_address(&tile->there[i]), 1);
        make_barrier(shared_address(&tile->done_with[i]), 2 * warpgroup / 32);
      }
    }
    show_barriers();
  }
  __syncthreads();
  const Span span = span_of(args);
  if (threadIdx.x < 2 * warpgroup) {
    take_registers<registers>();
    attend(args, span, shared);
  } else {
    leave_registers<copying_registers>();
    if (threadIdx.x == 2 * warpgroup) copy_tiles(args, maps, span, shared);
  }
}

#else

template <int shared_dim>
__global__ void prefill_wgmma_kernel(const __grid_constant__ PrefillArgs,
                                     const __grid_constant__ Maps) {}  // is not run

#endif

bool fits(int dim, int shared_dim) noexcept {
  return dim == head_dim && (shared_dim == 0 || shared_dim == 64);
}

Maps maps_of(const PrefillArgs& args) noexcept {
  const int64_t all = args.past + args.rows, kv_heads = args.heads / args.heads_per_kv;
  const auto map = [](const uint16_t* data, int64_t rows, int64_t row, int64_t heads, int64_t head,
                      int64_t columns) {
    return device::tensor_map({.data = data,
                               .rows = rows,
                               .row_stride = row,
                               .heads = heads,
                               .head_stride = head,
                               .columns = columns},
                              keys);
  };
  const int64_t width = head_dim + args.shared_dim;
  return {map(args.q, args.rows, args.q_row, args.heads, args.q_head, width),
          map(args.k, all, args.k_row, kv_heads, args.k_head, head_dim),
          args.shared_dim == 0 ? CUtensorMap{}
                               : map(args.shared_k, all, args.shared_row, 1, 0, args.shared_dim),
          map(args.v, all, args.v_row, kv_heads, args.v_head, head_dim)};
}

template <int shared_dim>
void run_tiles(const PrefillArgs& args, const device::Queue& queue) noexcept {
  constexpr int bytes = alignment + sizeof(Shared<shared_dim>);
  const auto kernel = prefill_wgmma_kernel<shared_dim>;
  cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  const dim3 grid(static_cast<unsigned>(args.heads), device::blocks_for(args.rows, block_rows));
  kernel<<<grid, threads, bytes, device::stream_of(queue)>>>(args, maps_of(args));
}

void run(const PrefillArgs& args, const device::Queue& queue) noexcept {
  if (args.shared_dim == 0)
    run_tiles<0>(args, queue);
  else
    run_tiles<64>(args, queue);
}

}  // namespace

const PrefillKernel prefill_wgmma{"wgmma", 90, 90, fits, run};

}  // namespace ktx::ops::cuda
