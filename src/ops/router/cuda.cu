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
constexpr int at_once = 8;                // loads of weights that a thread waits for together
constexpr size_t most_shared = 40 << 10;  // of the warps that select
static_assert(most_shared >= 3 * graph::max_selected * sizeof(float));

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

/// A candidate of a selection.
struct Scored {
  float score;
  int id;  // -1: none
};

__device__ bool before(const Scored& a, const Scored& b) {
  if (a.id < 0 || b.id < 0) return b.id < 0 && a.id >= 0;
  return a.score > b.score || (a.score == b.score && a.id < b.id);
}

/// The best of `count` scores that no bit of `taken` marks, in every lane; marks it. Lane l looks
/// after l, l + 32, …, bit i is that of l + 32 i.
__device__ Scored take_best(const float* scores, int count, uint32_t& taken, int lane) {
  Scored best{0, -1};
  for (int i = 0, id = lane; id < count; ++i, id += 32) {
    if (taken >> i & 1u) continue;
    const Scored candidate{scores[id], id};
    if (before(candidate, best)) best = candidate;
  }
#pragma unroll
  for (int other = 16; other > 0; other /= 2) {
    const Scored candidate{__shfl_xor_sync(every_lane, best.score, other),
                           __shfl_xor_sync(every_lane, best.id, other)};
    if (before(candidate, best)) best = candidate;
  }
  if (best.id >= 0 && best.id % 32 == lane) taken |= 1u << best.id / 32;
  return best;
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

/// Lowest: so that what is not a number is chosen last.
__device__ float ordered(float x) {
  return isnan(x) ? -INFINITY : x;
}

/// scores[e] from the logits, in order of the parts.
__device__ void activate(const SelectArgs& args, int64_t row, float* scores, int lane) {
  float largest = -INFINITY;
  for (int e = lane; e < args.experts; e += 32) {
    float logit = 0;
    for (int64_t part = 0; part < args.parts; ++part) {
      logit += args.logits[(part * args.rows + row) * args.experts + e];
    }
    scores[e] = args.sigmoid ? 1 / (1 + expf(-logit)) : logit;
    largest = fmaxf(largest, logit);
  }
  if (args.sigmoid) return;
  largest = warp_max(largest);
  float sum = 0;
  for (int e = lane; e < args.experts; e += 32) sum += scores[e] = expf(scores[e] - largest);
  sum = warp_sum(sum);
  for (int e = lane; e < args.experts; e += 32) scores[e] /= sum;
}

/// The sum of a group's two best scores, or its best.
__device__ float group_score(const float* scores, int count, bool top2) {
  float best = scores[0], second = -INFINITY;
  for (int i = 1; i < count; ++i) {
    const float score = scores[i];
    second = fmaxf(second, fminf(best, score));
    best = fmaxf(best, score);
  }
  return top2 && count > 1 ? best + second : best;
}

/// Marks the experts outside the best groups in `taken`.
__device__ void limit_groups(const SelectArgs& args, const float* biased, float* groups,
                             uint32_t& taken, int lane) {
  const int size = args.experts / args.groups;
  for (int g = lane; g < args.groups; g += 32) {
    groups[g] = group_score(biased + g * size, size, args.group_by_top2);
  }
  __syncwarp();
  uint32_t chosen = 0;
  for (int i = 0; i < args.top_groups; ++i) take_best(groups, args.groups, chosen, lane);
  for (int i = 0; 32 * i < args.experts; ++i) {
    const int e = lane + 32 * i, group = min(e, args.experts - 1) / size;
    const uint32_t bits = __shfl_sync(every_lane, chosen, group % 32);
    if (!(bits >> group / 32 & 1u)) taken |= 1u << i;
  }
}

/// Numbers in shared memory of a warp that selects.
__host__ __device__ constexpr int shared_numbers(int experts, int groups) {
  return 2 * experts + groups;
}

/// A warp selects the experts of a row.
__device__ __forceinline__ void select(const SelectArgs& args, int64_t row, float* shared) {
  const int lane = threadIdx.x % 32;
  float *scores = shared, *biased = scores + args.experts, *groups = biased + args.experts;
  activate(args, row, scores, lane);
  for (int e = lane; e < args.experts; e += 32) {
    biased[e] = ordered(args.bias == nullptr ? scores[e] : scores[e] + args.bias[e]);
  }
  __syncwarp();
  uint32_t taken = 0;
  if (args.top_groups < args.groups) limit_groups(args, biased, groups, taken, lane);

  const int count = args.experts_per_token == nullptr ? args.top_k : args.experts_per_token[row];
  int32_t* ids = args.ids + row * args.most;
  float* weights = args.weights + row * args.most;
  float sum = 0;
  for (int i = 0; i < count; ++i) {
    const Scored best = take_best(biased, args.experts, taken, lane);
    const float weight = best.id < 0 ? 0.0f : scores[best.id];
    sum += weight;
    if (lane == 0) {
      ids[i] = best.id;
      weights[i] = weight;
    }
  }
  __syncwarp();
  const float factor = args.normalize ? args.scale / (sum + 1e-20f) : args.scale;
  for (int64_t i = lane; i < args.most; i += 32) {
    if (i < count) {
      weights[i] *= factor;
    } else {
      ids[i] = -1;
      weights[i] = 0;
    }
  }
}

__global__ void __launch_bounds__(32) select_kernel(SelectArgs args) {
  extern __shared__ float shared[];
  select(args, blockIdx.x, shared);
}

/// At most few_rows rows: a block an expert, so that every weight is read once. selectors: warps
/// that select once all logits are there; 0: no warp does.
template <int R>
__global__ void __launch_bounds__(threads)
    few_logits_kernel(LogitArgs args, SelectArgs selection, unsigned* arrived, int selectors) {
  const float* weight = args.weight + blockIdx.x * args.hidden;
  fetch_to_l2(weight, args.hidden * int64_t{sizeof(float)}, threadIdx.x, threads);
  await_previous();
  float sums[R] = {};
  for (int64_t begin = 4 * threadIdx.x; begin < args.hidden; begin += at_once * 4 * threads) {
    float4 w[at_once];
#pragma unroll
    for (int k = 0; k < at_once; ++k) {
      const int64_t i = begin + k * 4 * threads;
      w[k] = i < args.hidden ? *reinterpret_cast<const float4*>(weight + i) : float4{};
    }
#pragma unroll
    for (int k = 0; k < at_once; ++k) {
      const int64_t i = begin + k * 4 * threads;
      if (i >= args.hidden) break;
#pragma unroll
      for (int r = 0; r < R; ++r) {
        if (r >= args.rows) break;
        const float4 x = *reinterpret_cast<const float4*>(args.x + r * args.x_stride + i);
        sums[r] += w[k].x * x.x + w[k].y * x.y + w[k].z * x.z + w[k].w * x.w;
      }
    }
  }
#pragma unroll
  for (int r = 0; r < R; ++r) {
    if (r >= args.rows) break;
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
  launch(
      kernel,
      {static_cast<unsigned>(args.experts), threads, static_cast<unsigned>(selectors) * bytes_each},
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
