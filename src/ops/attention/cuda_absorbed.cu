// Absorbed attention on a GPU: the kernel's launch, and the merging of partial sums, for few rows
// with the product that turns sums into values.
#include "ops/attention/cuda_absorbed.hpp"

#include <algorithm>

#include "core/device/cuda.hpp"
#include "ops/attention/cuda_absorbed_work.cuh"
#include "ops/attention/cuda_heads.cuh"
#include "ops/cuda/launch.cuh"

namespace ktx::ops::cuda {
namespace {

constexpr int merge_threads = mla_latents / 4, most_merge_ways = 8;

__device__ void add(float4& to, const float4& x, float factor) {
  to.x += factor * x.x;
  to.y += factor * x.y;
  to.z += factor * x.z;
  to.w += factor * x.w;
}

__device__ float4 four_bf16(uint2 pairs) {
  return make_float4(low_bf16(pairs.x), high_bf16(pairs.x), low_bf16(pairs.y), high_bf16(pairs.y));
}

/// Adds up what groups [first, last] left of a head of a row: way w of `ways` every ways-th group,
/// at_once of them being waited for together, then the ways in order. Numbers 4 threadIdx.x … of
/// the row, in the threads of way 0. A block of [merge_threads, up to most_merge_ways] threads
/// comes here; the ways of a row follow one another.
template <int at_once>
__device__ __forceinline__ uint2 merged(const AbsorbedWork& work, const PageSchedule& schedule,
                                        PageRange range, int first, int last, int head, int way,
                                        int ways) {
  float max = lowest_score, sum = 0;
  float4 values = make_float4(0, 0, 0, 0);
  for (int begin = first + way; begin <= last; begin += at_once * ways) {
    float2 weights[at_once];
    uint2 partial[at_once];
    float before = max;
#pragma unroll
    for (int k = 0; k < at_once; ++k) {
      const int group = min(begin + k * ways, last);
      const int64_t from = int64_t{schedule.slot(group, range)} * work.args.heads + head;
      weights[k] = work.weights[from];
      partial[k] = reinterpret_cast<const uint2*>(work.partial + from * mla_latents)[threadIdx.x];
    }
#pragma unroll
    for (int k = 0; k < at_once; ++k) max = fmaxf(max, weights[k].x);
    const float factor = exp2f(before - max);
    sum *= factor;
    values =
        make_float4(values.x * factor, values.y * factor, values.z * factor, values.w * factor);
#pragma unroll
    for (int k = 0; k < at_once; ++k) {
      if (begin + k * ways > last) break;
      const float weight = exp2f(weights[k].x - max) * weights[k].y;
      sum += weight;
      add(values, four_bf16(partial[k]), weight);
    }
  }
  __shared__ float4 ways_values[most_merge_ways][merge_threads];
  __shared__ float2 ways_weights[most_merge_ways];
  ways_values[threadIdx.y][threadIdx.x] = values;
  if (threadIdx.x == 0) ways_weights[threadIdx.y] = make_float2(max, sum);
  __syncthreads();
  if (way != 0) return {};
  for (int other = 1; other < ways; ++other) max = fmaxf(max, ways_weights[threadIdx.y + other].x);
  sum = 0;
  values = make_float4(0, 0, 0, 0);
  for (int other = 0; other < ways; ++other) {
    const float2 weight = ways_weights[threadIdx.y + other];
    const float factor = exp2f(weight.x - max);
    sum += factor * weight.y;
    add(values, ways_values[threadIdx.y + other][threadIdx.x], factor);
  }
  const float inverse = 1 / sum;
  return make_uint2(bf16_pair(values.x * inverse, values.y * inverse),
                    bf16_pair(values.z * inverse, values.w * inverse));
}

/// The four numbers of a thread in the sums of a head of a row.
__device__ uint2* sums_of(const AbsorbedWork& work, int64_t row, int head) {
  const Piece whole{static_cast<int32_t>(row), -1, nullptr, 0};
  return reinterpret_cast<uint2*>(sums_of(work, whole, head)) + threadIdx.x;
}

/// A block a head of a row. Nothing to do for rows that one group had whole.
__global__ void __launch_bounds__(merge_threads* most_merge_ways) merge_kernel(AbsorbedWork work) {
  const int64_t row = work.args.row_begin + blockIdx.y;
  const PageRange range = pages_of_row(work, row);
  const PageSchedule schedule = schedule_of(work);
  const bool used = range.begin != range.end;
  const int first = used ? schedule.first_group(range) : 0;
  const int last = used ? schedule.last_group(range) : 0;
  await_previous();
  if (first == last) return;
  const int head = blockIdx.x, way = threadIdx.y;
  const uint2 sums = merged<8>(work, schedule, range, first, last, head, way, blockDim.y);
  if (way == 0) *sums_of(work, row, head) = sums;
}

/// Ways of the block below, all rows together. That of one row leaves half of a multiprocessor to
/// another: while attention is busy with few keys on few multiprocessors, the others have room for
/// all heads.
template <int R>
constexpr int value_ways = R == 1 ? most_merge_ways / 2 : most_merge_ways;

/// A block a head: the sums of up to R rows side by side, then v_b times them. Those of unused rows
/// are zero.
template <int R, class Rows>
__global__ void __launch_bounds__(merge_threads* value_ways<R>, most_merge_ways / value_ways<R>)
    values_kernel(const __grid_constant__ AbsorbedWork work,
                  const __grid_constant__ AbsorbedValues values) {
  constexpr int ways = value_ways<R> / R, threads = merge_threads * value_ways<R>;
  const int head = blockIdx.x, thread = threadIdx.y * merge_threads + threadIdx.x;
  const int64_t rows = work.args.row_end - work.args.row_begin;
  __shared__ alignas(16) uint2 x[R][merge_threads];
  const HeadPart product{.weights = matrix_of<Rows>(values.v_b, head, values.v, mla_latents),
                         .inputs = mla_latents,
                         .begin = 0,
                         .end = values.v,
                         .x = reinterpret_cast<const uint16_t*>(x),
                         .x_row = mla_latents,
                         .rows = rows,
                         .y = values.out + int64_t{head} * values.v,
                         .y_row = int64_t{work.args.heads} * values.v};
  HeadWeights<Rows, 32, R == 1 ? 4 : 1, 2> weights;
  weights.load_first(product, thread, threads);
  fetch_to_l2(product.weights, product.end * Rows::row_bytes(mla_latents), thread, threads);

  const int way = threadIdx.y % ways, number = threadIdx.y / ways;
  const int64_t row = work.args.row_begin + number;
  const PageRange range = number < rows ? pages_of_row(work, row) : PageRange{};
  const PageSchedule schedule = schedule_of(work);
  const bool used = range.begin != range.end;
  const int first = used ? schedule.first_group(range) : 0;
  const int last = used ? schedule.last_group(range) : 0;
  const bool whole = first == last;  // or unused
  await_previous();
  const uint2 sums =
      merged<2>(work, schedule, range, first, whole ? first - 1 : last, head, way, ways);
  if (way == 0 && number < rows)
    x[number][threadIdx.x] = !used ? uint2{} : whole ? *sums_of(work, row, head) : sums;
  __syncthreads();
  multiply_part<R>(product, weights, thread, threads);
}

/// So that each way has about eight groups: a few rounds of loads.
dim3 merge_block(int groups, int64_t rows) noexcept {
  const auto ways = std::clamp<int64_t>(groups / (8 * rows), 1, most_merge_ways);
  return {merge_threads, static_cast<unsigned>(ways)};
}

int groups_of(const AbsorbedKernel& kernel, int heads, int multiprocessors) noexcept {
  const int blocks = (heads + kernel.heads_per_block - 1) / kernel.heads_per_block;
  return std::max(1, multiprocessors / blocks);
}

/// What the kernel leaves: partial sums, and in args.out the rows that one group had whole.
AbsorbedWork attend_in_groups(const AbsorbedKernel& kernel, const AbsorbedArgs& args,
                              const device::Queue& queue) noexcept {
  const int groups =
      groups_of(kernel, args.heads, device::limits_of(queue.place().index).multiprocessors);
  AbsorbedWork work{args, args.scale * 1.4426950408889634f, groups, nullptr, nullptr};
  const int64_t slots = PageSchedule::slots(groups);
  work.partial = reinterpret_cast<uint16_t*>(args.scratch);
  work.weights = reinterpret_cast<float2*>(work.partial + slots * args.heads * mla_latents);
  kernel.run(work, queue);
  return work;
}

constexpr const AbsorbedKernel* table[] = {&absorbed_wgmma, &absorbed_mma_64, &absorbed_mma_32};

}  // namespace

std::span<const AbsorbedKernel* const> absorbed_kernels() noexcept {
  return table;
}

bool runs_here(const AbsorbedKernel& kernel, const device::Queue& queue) noexcept {
  return kernel.refusal(device::limits_of(queue.place().index)).empty();
}

const AbsorbedKernel& best_absorbed_kernel(const device::Queue& queue) noexcept {
  for (const AbsorbedKernel* kernel : table) {
    if (runs_here(*kernel, queue)) return *kernel;
  }
  return absorbed_mma_32;
}

size_t absorbed_scratch_bytes(int heads, int multiprocessors) noexcept {
  int groups = 0;
  for (const AbsorbedKernel* kernel : table) {
    groups = std::max(groups, groups_of(*kernel, heads, multiprocessors));
  }
  return static_cast<size_t>(PageSchedule::slots(groups)) * static_cast<size_t>(heads) *
         (mla_latents * sizeof(uint16_t) + sizeof(float2));
}

void attend_absorbed(const AbsorbedKernel& kernel, const AbsorbedArgs& args,
                     const device::Queue& queue) noexcept {
  if (args.row_begin == args.row_end) return;
  const AbsorbedWork work = attend_in_groups(kernel, args, queue);
  const int64_t rows = args.row_end - args.row_begin;
  const dim3 grid(static_cast<unsigned>(args.heads), static_cast<unsigned>(rows));
  launch(merge_kernel, {grid, merge_block(work.groups, rows)}, queue, work);
}

void attend_absorbed(const AbsorbedKernel& kernel, const AbsorbedArgs& args,
                     const AbsorbedValues& values, const device::Queue& queue) noexcept {
  const AbsorbedWork work = attend_in_groups(kernel, args, queue);
  const bool one = args.row_end - args.row_begin == 1;
  with_rows(values.v_b.format, [&]<class Rows>() {
    launch(one ? values_kernel<1, Rows> : values_kernel<most_value_rows, Rows>,
           {static_cast<unsigned>(args.heads),
            dim3(merge_threads, one ? value_ways<1> : value_ways<most_value_rows>)},
           queue, work, values);
  });
}

}  // namespace ktx::ops::cuda
