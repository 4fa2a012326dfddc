// The router on a GPU: logits in parts along the hidden dimension, then a warp a token that adds
// the parts in order, activates and selects. Of few tokens the last block to finish its logits
// selects.
#include <algorithm>

#include "core/device/cuda.hpp"
#include "ops/cuda/launch.cuh"
#include "ops/cuda/numbers.cuh"
#include "ops/router/cuda.hpp"

namespace ktx::ops::cuda {
namespace {

constexpr int tile = 64;              // rows and experts of a block
constexpr int depth = 16;             // columns of a step
constexpr int threads = 256;          // each 4 rows x 4 experts
constexpr int64_t most_blocks = 264;  // of a grid that is split along the columns
constexpr int few_rows = 8;
constexpr int few_threads = 512;          // of a block of few rows
constexpr int vectors = 4;                // of weights that such a thread waits for together
constexpr int at_once = 8;                // logits that a lane waits for together
constexpr size_t most_shared = 40 << 10;  // of the warps that select
static_assert(most_shared >= 4 * graph::max_selected * sizeof(float));

constexpr int64_t parts_of(int64_t n, int64_t size) noexcept {
  return (n + size - 1) / size;
}

/// Into how many parts the hidden dimension is split, and their columns.
struct Split {
  int64_t parts = 1, columns = 0;
};

Split split_columns(int64_t rows, int64_t experts, int64_t hidden) noexcept {
  if (rows <= few_rows) return {1, hidden};
  const int64_t tiles = parts_of(rows, tile) * parts_of(experts, tile);
  const int64_t wanted = std::clamp<int64_t>(most_blocks / tiles, 1, parts_of(hidden, 4 * depth));
  const int64_t columns = parts_of(parts_of(hidden, wanted), depth) * depth;
  return {parts_of(hidden, columns), columns};
}

struct LogitArgs {
  const float* x;
  int64_t x_stride;
  int64_t rows, experts, hidden;
  const float* weight;
  int64_t columns;  // of a part
  float* logits;    // [parts, rows, experts]
};

/// Four columns of a row, zero beyond the matrix.
__device__ float4 load4(const float* base, int64_t stride, int64_t row, int64_t rows,
                        int64_t column, int64_t end) {
  if (row >= rows || column >= end) return make_float4(0, 0, 0, 0);
  return *reinterpret_cast<const float4*>(base + row * stride + column);
}

__device__ void store_column(float (&to)[depth][tile + 4], int row, int column, const float4& v) {
  to[column][row] = v.x;
  to[column + 1][row] = v.y;
  to[column + 2][row] = v.z;
  to[column + 3][row] = v.w;
}

__global__ void __launch_bounds__(threads) logits_kernel(LogitArgs args) {
  __shared__ float x_tile[depth][tile + 4], w_tile[depth][tile + 4];
  const int64_t row = blockIdx.x * int64_t(tile), expert = blockIdx.y * int64_t(tile);
  const int64_t begin = blockIdx.z * args.columns;
  const int64_t end = begin + args.columns < args.hidden ? begin + args.columns : args.hidden;
  const int tx = threadIdx.x % 16, ty = threadIdx.x / 16;  // its 4 experts, its 4 rows
  const int load_row = threadIdx.x / 4, load_column = threadIdx.x % 4 * 4;
  float sums[4][4] = {};
  for (int64_t column = begin; column < end; column += depth) {
    const float4 x =
        load4(args.x, args.x_stride, row + load_row, args.rows, column + load_column, end);
    const float4 w =
        load4(args.weight, args.hidden, expert + load_row, args.experts, column + load_column, end);
    __syncthreads();
    store_column(x_tile, load_row, load_column, x);
    store_column(w_tile, load_row, load_column, w);
    __syncthreads();
#pragma unroll
    for (int k = 0; k < depth; ++k) {
      const float4 a = *reinterpret_cast<const float4*>(&x_tile[k][4 * ty]);
      const float4 b = *reinterpret_cast<const float4*>(&w_tile[k][4 * tx]);
      const float as[4] = {a.x, a.y, a.z, a.w}, bs[4] = {b.x, b.y, b.z, b.w};
#pragma unroll
      for (int i = 0; i < 4; ++i)
#pragma unroll
        for (int j = 0; j < 4; ++j) sums[i][j] += as[i] * bs[j];
    }
  }
  float* logits = args.logits + blockIdx.z * args.rows * args.experts;
  for (int i = 0; i < 4; ++i)
    for (int j = 0; j < 4; ++j) {
      const int64_t r = row + 4 * ty + i, e = expert + 4 * tx + j;
      if (r < args.rows && e < args.experts) logits[r * args.experts + e] = sums[i][j];
    }
}

struct SelectArgs {
  int experts, top_k, groups, top_groups;
  bool sigmoid, normalize, group_by_top2;
  float scale;
  int64_t rows, parts;
  const float* logits;  // [parts, rows, experts]
  const float* bias;
  const int32_t* experts_per_token;
  int64_t most;
  int32_t* ids;
  float* weights;
};

/// Whole numbers above 0 in the order of scores: zeros are equal, what is not a number is lowest.
/// Of them a warp finds the largest in one instruction; 0 stands for what cannot be chosen.
__device__ uint32_t key_of(float score) {
  const uint32_t bits = __float_as_uint(isnan(score) ? -INFINITY : score + 0.0f);
  return bits >> 31 != 0 ? ~bits : bits | 0x80000000u;
}
__device__ float score_of(uint32_t key) {
  return __uint_as_float(key >> 31 != 0 ? key & 0x7fffffffu : ~key);
}

/// Eight of a lane's experts, which it reads and writes side by side: `first`, first + 32, …
template <class Each>
__device__ __forceinline__ void each_expert(int first, int experts, const Each& each) {
#pragma unroll
  for (int k = 0; k < at_once; ++k)
    if (first + 32 * k < experts) each(k, first + 32 * k);
}

/// The logits, added up in order of the parts, and of sigmoid the scores; and the biases.
__device__ void read_logits(const SelectArgs& args, int64_t row, float* scores, float* biases,
                            int lane) {
  for (int first = lane; first < args.experts; first += 32 * at_once) {
    float sums[at_once] = {}, bias[at_once] = {};
    if (args.bias != nullptr)
      each_expert(first, args.experts, [&](int k, int e) { bias[k] = args.bias[e]; });
#pragma unroll 1
    for (int64_t part = 0; part < args.parts; ++part) {
      const float* from = args.logits + (part * args.rows + row) * args.experts;
      each_expert(first, args.experts, [&](int k, int e) { sums[k] += from[e]; });
    }
    each_expert(first, args.experts, [&](int k, int e) {
      scores[e] = args.sigmoid ? __fdividef(1, 1 + expf(-sums[k])) : sums[k];
      biases[e] = bias[k];
    });
  }
}

/// Logits to scores. A lane touches what it has read.
__device__ void softmax(float* scores, int experts, int lane) {
  float largest = -INFINITY, sum = 0;
  for (int e = lane; e < experts; e += 32) largest = fmaxf(largest, scores[e]);
  largest = warp_max(largest);
  for (int e = lane; e < experts; e += 32) sum += scores[e] = expf(scores[e] - largest);
  sum = warp_sum(sum);
  for (int e = lane; e < experts; e += 32) scores[e] /= sum;
}

/// keys may be where the biases are.
__device__ void make_keys(const float* scores, const float* biases, uint32_t* keys, int experts,
                          int lane) {
  for (int first = lane; first < experts; first += 32 * at_once) {
    float biased[at_once];
    each_expert(first, experts, [&](int k, int e) { biased[k] = scores[e] + biases[e]; });
    each_expert(first, experts, [&](int k, int e) { keys[e] = key_of(biased[k]); });
  }
}

/// The key of each group's score: the sum of its two best, or its best. As many lanes as there are
/// for each group look at shares of it.
__device__ void score_groups(const SelectArgs& args, const uint32_t* keys, uint32_t* groups,
                             int lane) {
  const int size = args.experts / args.groups;
  int ways = 32;
  while (ways > 1 && ways * args.groups > 32) ways /= 2;
  for (int first = 0; first < args.groups; first += 32 / ways) {
    const int group = first + lane / ways;
    uint32_t best = 0, second = 0;
    if (group < args.groups) {
#pragma unroll 4
      for (int i = lane % ways; i < size; i += ways) {
        const uint32_t key = keys[group * size + i];
        second = max(second, min(best, key));
        best = max(best, key);
      }
    }
    for (int other = ways / 2; other > 0; other /= 2) {
      const uint32_t its_best = __shfl_xor_sync(every_lane, best, other);
      const uint32_t its_second = __shfl_xor_sync(every_lane, second, other);
      second = max(max(second, its_second), min(best, its_best));
      best = max(best, its_best);
    }
    if (group < args.groups && lane % ways == 0)
      groups[group] =
          args.group_by_top2 && size > 1 ? key_of(score_of(best) + score_of(second)) : best;
  }
  __syncwarp();
}

/// Takes away the experts outside the best groups: of a group that many others come before.
__device__ void limit_groups(const SelectArgs& args, uint32_t* keys, uint32_t* groups, int lane) {
  uint32_t outside = 0;  // bit i: group lane + 32 i
  for (int i = 0; lane + 32 * i < args.groups; ++i) {
    const int group = lane + 32 * i;
    const uint32_t key = groups[group];
    int before = 0;
#pragma unroll 4
    for (int other = 0; other < args.groups; ++other)
      before += groups[other] > key || (groups[other] == key && other < group) ? 1 : 0;
    if (before >= args.top_groups) outside |= 1u << i;
  }
  __syncwarp();
  for (int i = 0; lane + 32 * i < args.groups; ++i)
    if (outside >> i & 1u) groups[lane + 32 * i] = 0;
  __syncwarp();
  const int size = args.experts / args.groups;
#pragma unroll 4
  for (int e = lane; e < args.experts; e += 32)
    if (groups[e / size] == 0) keys[e] = 0;
}

/// The best of a lane's experts: those of l, l + 32, … of lane l.
struct Candidate {
  uint32_t key;
  int expert;
};
__device__ Candidate best_of_lane(const uint32_t* keys, int experts, int lane) {
  Candidate best{0, -1};
#pragma unroll 4
  for (int e = lane; e < experts; e += 32)
    if (keys[e] > best.key) best = {keys[e], e};
  return best;
}

/// Numbers in shared memory of a warp that selects.
__host__ __device__ constexpr int shared_numbers(int experts, int groups) {
  return 3 * experts + groups;
}

/// A warp selects the experts of a row.
__device__ __forceinline__ void select(const SelectArgs& args, int64_t row, float* shared) {
  const int lane = threadIdx.x % 32, experts = args.experts;
  const int count =
      min(args.experts_per_token == nullptr ? args.top_k : args.experts_per_token[row], experts);
  float *scores = shared, *biases = scores + experts;
  auto* keys = reinterpret_cast<uint32_t*>(biases);  // in their place
  auto* chosen = reinterpret_cast<int32_t*>(keys + experts);
  auto* groups = reinterpret_cast<uint32_t*>(chosen + experts);
  read_logits(args, row, scores, biases, lane);
  if (!args.sigmoid) softmax(scores, experts, lane);
  make_keys(scores, biases, keys, experts, lane);
  __syncwarp();
  if (args.top_groups < args.groups) {
    score_groups(args, keys, groups, lane);
    limit_groups(args, keys, groups, lane);
  }

  Candidate mine = best_of_lane(keys, experts, lane);
  float sum = 0;
  for (int i = 0; i < count; ++i) {
    const uint32_t best = __reduce_max_sync(every_lane, mine.key);
    const int expert = __reduce_min_sync(every_lane, mine.key == best ? mine.expert : experts);
    sum += expert < 0 ? 0 : scores[expert];
    if (lane == 0) chosen[i] = expert;
    if (mine.expert == expert && expert >= 0) {
      keys[expert] = 0;
      mine = best_of_lane(keys, experts, lane);
    }
  }
  __syncwarp();
  const float factor = args.normalize ? args.scale / (sum + 1e-20f) : args.scale;
  for (int64_t i = lane; i < args.most; i += 32) {
    const int expert = i < count ? chosen[i] : -1;
    args.ids[row * args.most + i] = expert;
    args.weights[row * args.most + i] = expert < 0 ? 0 : scores[expert] * factor;
  }
  __syncwarp();  // before the warp's next row
}

__global__ void __launch_bounds__(32) select_kernel(SelectArgs args) {
  extern __shared__ float shared[];
  select(args, blockIdx.x, shared);
}

/// At most few_rows rows: a block an expert, so that every weight is read once. selectors: warps
/// that select once all logits are there; 0: no warp does.
template <int R>
__global__ void __launch_bounds__(few_threads)
    few_logits_kernel(LogitArgs args, SelectArgs selection, unsigned* arrived, int selectors) {
  if (blockIdx.x == 0 && selection.bias != nullptr)
    fetch_to_l2(selection.bias, args.experts * int64_t{sizeof(float)}, threadIdx.x, few_threads);
  float sums[R] = {};
  for (int64_t begin = 4 * threadIdx.x; begin < args.hidden; begin += vectors * 4 * few_threads) {
    const auto load = [&](const float* row, float4(&to)[vectors]) {
#pragma unroll
      for (int k = 0; k < vectors; ++k) {
        const int64_t i = begin + k * 4 * few_threads;
        to[k] = i < args.hidden ? *reinterpret_cast<const float4*>(row + i) : float4{};
      }
    };
    float4 w[vectors], x[vectors];
    load(args.weight + blockIdx.x * args.hidden, w);
    if (begin < 4 * few_threads) await_previous();
#pragma unroll
    for (int r = 0; r < R; ++r) {
      if (R > 1 && r >= args.rows) break;
      load(args.x + r * args.x_stride, x);
#pragma unroll
      for (int k = 0; k < vectors; ++k)
        sums[r] += w[k].x * x[k].x + w[k].y * x[k].y + w[k].z * x[k].z + w[k].w * x[k].w;
    }
  }
  if (4 * threadIdx.x >= args.hidden) await_previous();
#pragma unroll
  for (int r = 0; r < R; ++r) {
    if (R > 1 && r >= args.rows) break;
    const float sum = block_sum(sums[r]);
    if (threadIdx.x == 0) args.logits[r * args.experts + blockIdx.x] = sum;
  }
  if (selectors == 0) return;
  __shared__ bool last;
  if (threadIdx.x == 0) {
    last = arrive(arrived) == gridDim.x - 1;
    if (last) *arrived = 0;  // as the next launch finds it
  }
  __syncthreads();
  const int warp = threadIdx.x / 32;
  if (!last || warp >= selectors) return;
  extern __shared__ float shared[];
  for (int64_t row = warp; row < args.rows; row += selectors)
    select(selection, row, shared + warp * shared_numbers(selection.experts, selection.groups));
}

void run_few_rows(const LogitArgs& args, const SelectArgs& selection, unsigned* arrived,
                  const device::Queue& queue) noexcept {
  const size_t bytes_each =
      static_cast<size_t>(shared_numbers(selection.experts, selection.groups)) * sizeof(float);
  const auto fit = static_cast<int64_t>(most_shared / bytes_each);
  const int selectors = arrived == nullptr ? 0 : static_cast<int>(std::min(args.rows, fit));
  const auto kernel = args.rows == 1 ? few_logits_kernel<1> : few_logits_kernel<few_rows>;
  launch(kernel,
         {static_cast<unsigned>(args.experts), few_threads,
          static_cast<unsigned>(selectors) * bytes_each},
         queue, args, selection, arrived, selectors);
  if (selectors == 0)
    select_kernel<<<static_cast<unsigned>(args.rows), 32, bytes_each, device::stream_of(queue)>>>(
        selection);
}

void run_many_rows(const LogitArgs& args, const SelectArgs& selection,
                   const device::Queue& queue) noexcept {
  const dim3 grid(static_cast<unsigned>(parts_of(args.rows, tile)),
                  static_cast<unsigned>(parts_of(args.experts, tile)),
                  static_cast<unsigned>(selection.parts));
  const cudaStream_t stream = device::stream_of(queue);
  logits_kernel<<<grid, threads, 0, stream>>>(args);
  select_kernel<<<static_cast<unsigned>(args.rows), 32,
                  static_cast<size_t>(shared_numbers(selection.experts, selection.groups)) *
                      sizeof(float),
                  stream>>>(selection);
}

}  // namespace

size_t router_scratch_bytes(const graph::RouterParams& params, int64_t hidden,
                            int64_t most_rows) noexcept {
  int64_t most = 0;  // parts * rows, which does not grow with the rows alone
  for (int64_t rows = 1; rows <= most_rows; ++rows) {
    most = std::max(most, split_columns(rows, params.experts, hidden).parts * rows);
  }
  return static_cast<size_t>(most * params.experts) * sizeof(float);
}

void router(const RouterArgs& args, const device::Queue& queue) noexcept {
  if (args.rows == 0) return;
  const graph::RouterParams& p = *args.params;
  const Split split = split_columns(args.rows, p.experts, args.hidden);
  auto* logits = reinterpret_cast<float*>(args.scratch);
  const LogitArgs products{args.x,      args.x_stride, args.rows,     p.experts,
                           args.hidden, args.weight,   split.columns, logits};
  const SelectArgs selection{.experts = p.experts,
                             .top_k = p.top_k,
                             .groups = p.groups,
                             .top_groups = p.top_groups,
                             .sigmoid = p.sigmoid,
                             .normalize = p.normalize,
                             .group_by_top2 = p.group_by_top2,
                             .scale = p.scale,
                             .rows = args.rows,
                             .parts = split.parts,
                             .logits = logits,
                             .bias = args.bias,
                             .experts_per_token = args.experts_per_token,
                             .most = args.most,
                             .ids = args.ids,
                             .weights = args.weights};
  if (args.rows <= few_rows)
    run_few_rows(products, selection, args.arrived, queue);
  else
    run_many_rows(products, selection, queue);
}

}  // namespace ktx::ops::cuda
