// Absorbed attention on a GPU: the kernel's launch, and the merging of partial sums.
#include "ops/attention/cuda_absorbed.hpp"

#include <algorithm>

#include "core/device/cuda.hpp"
#include "ops/attention/cuda_absorbed_work.cuh"

namespace ktx::ops::cuda {
namespace {

constexpr int merge_threads = mla_latents / 4, most_merge_ways = 8;

/// The largest of the maxima that groups [first, last] left of a head, in every thread.
__device__ float largest_score(const AbsorbedWork& work, const PageSchedule& schedule,
                               PageRange range, int head) {
  __shared__ float maxima[merge_threads / 32 * most_merge_ways];
  const int thread = threadIdx.y * merge_threads + threadIdx.x,
            threads = blockDim.y * merge_threads;
  float max = lowest_score;
  for (int group = schedule.first_group(range) + thread; group <= schedule.last_group(range);
       group += threads) {
    max = fmaxf(max, work.weights[schedule.slot(group, range) * work.args.heads + head].x);
  }
  max = warp_max(max);
  if (thread % 32 == 0) maxima[thread / 32] = max;
  __syncthreads();
  for (int warp = 0; warp < threads / 32; ++warp) max = fmaxf(max, maxima[warp]);
  return max;
}

__device__ void add(float4& to, const float4& x, float factor) {
  to.x += factor * x.x;
  to.y += factor * x.y;
  to.z += factor * x.z;
  to.w += factor * x.w;
}

/// A block a head of a row: the sums that its groups left, each way (threadIdx.y) those of every
/// blockDim.y-th group, then the ways in order. Nothing to do for rows that one group had whole.
__global__ void __launch_bounds__(merge_threads* most_merge_ways) merge_kernel(AbsorbedWork work) {
  const int64_t row = work.args.row_begin + blockIdx.y;
  const PageRange range = pages_of_row(work, row);
  if (range.begin == range.end) return;
  const PageSchedule schedule = schedule_of(work);
  const int first = schedule.first_group(range), last = schedule.last_group(range);
  if (first == last) return;
  const int head = blockIdx.x, way = threadIdx.y, ways = blockDim.y;
  const float max = largest_score(work, schedule, range, head);
  float sum = 0;
  float4 values = make_float4(0, 0, 0, 0);
#pragma unroll 4
  for (int group = first + way; group <= last; group += ways) {
    const int64_t at = int64_t{schedule.slot(group, range)} * work.args.heads + head;
    const float2 weight = work.weights[at];
    const float factor = exp2f(weight.x - max);
    sum += factor * weight.y;
    add(values, reinterpret_cast<const float4*>(work.partial + at * mla_latents)[threadIdx.x],
        factor);
  }
  __shared__ float4 ways_values[most_merge_ways][merge_threads];
  __shared__ float ways_sums[most_merge_ways];
  ways_values[way][threadIdx.x] = values;
  if (threadIdx.x == 0) ways_sums[way] = sum;
  __syncthreads();
  if (way != 0) return;
  for (int other = 1; other < ways; ++other) {
    sum += ways_sums[other];
    add(values, ways_values[other][threadIdx.x], 1);
  }
  const float inverse = 1 / sum;
  uint16_t* out = work.args.out + (int64_t{blockIdx.y} * work.args.heads + head) * mla_latents;
  reinterpret_cast<uint2*>(out)[threadIdx.x] =
      make_uint2(bf16_pair(values.x * inverse, values.y * inverse),
                 bf16_pair(values.z * inverse, values.w * inverse));
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

constexpr const AbsorbedKernel* table[] = {&absorbed_wgmma, &absorbed_mma};

}  // namespace

std::span<const AbsorbedKernel* const> absorbed_kernels() noexcept {
  return table;
}

bool runs_here(const AbsorbedKernel& kernel, const device::Queue& queue) noexcept {
  return kernel.refusal(device::limits_of(queue.place().index).capability).empty();
}

const AbsorbedKernel& best_absorbed_kernel(const device::Queue& queue) noexcept {
  for (const AbsorbedKernel* kernel : table) {
    if (runs_here(*kernel, queue)) return *kernel;
  }
  return absorbed_mma;
}

size_t absorbed_scratch_bytes(int heads, int multiprocessors) noexcept {
  int groups = 0;
  for (const AbsorbedKernel* kernel : table) {
    groups = std::max(groups, groups_of(*kernel, heads, multiprocessors));
  }
  return static_cast<size_t>(PageSchedule::slots(groups)) * static_cast<size_t>(heads) *
         (mla_latents * sizeof(float) + sizeof(float2));
}

void attend_absorbed(const AbsorbedKernel& kernel, const AbsorbedArgs& args,
                     const device::Queue& queue) noexcept {
  if (args.row_begin == args.row_end) return;
  const int groups =
      groups_of(kernel, args.heads, device::limits_of(queue.place().index).multiprocessors);
  AbsorbedWork work{args, args.scale * 1.4426950408889634f, groups, nullptr, nullptr};
  const int64_t slots = PageSchedule::slots(groups);
  work.partial = reinterpret_cast<float*>(args.scratch);
  work.weights = reinterpret_cast<float2*>(work.partial + slots * args.heads * mla_latents);
  kernel.run(work, queue);
  const int64_t rows = args.row_end - args.row_begin;
  const dim3 grid(static_cast<unsigned>(args.heads), static_cast<unsigned>(rows));
  merge_kernel<<<grid, merge_block(groups, rows), 0, device::stream_of(queue)>>>(work);
}

}  // namespace ktx::ops::cuda
