// Numbers the rows of a step: one block, once a step.
#include "core/device/cuda.hpp"
#include "ops/attention/cuda_batch.hpp"
#include "ops/cuda/warp.cuh"

namespace ktx::ops::cuda {
namespace {

/// Warp 0 adds up the pages that each row sees.
__device__ void add_up_pages(const Batch& batch) {
  const int lane = threadIdx.x;
  int32_t before = 0;
  for (int64_t begin = 0; begin < batch.rows; begin += 32) {
    const int64_t row = begin + lane;
    const bool used = row < batch.rows && batch.sequence_of[row] >= 0;
    int32_t sum = used ? batch.position_of[row] / int32_t{graph::page_tokens} + 1 : 0;
    for (int step = 1; step < 32; step *= 2) {
      const int32_t left = __shfl_up_sync(every_lane, sum, step);
      if (lane >= step) sum += left;
    }
    if (row < batch.rows) batch.pages_before[row + 1] = before + sum;
    before += __shfl_sync(every_lane, sum, 31);
  }
  if (lane == 0) batch.pages_before[0] = 0;
}

__global__ void __launch_bounds__(1024) number_rows_kernel(Batch batch) {
  for (int64_t row = threadIdx.x; row < batch.rows; row += blockDim.x) batch.sequence_of[row] = -1;
  __syncthreads();
  const int warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  for (int64_t s = warp; s < batch.sequences; s += blockDim.x / 32) {
    for (int32_t i = lane; i < batch.row_count[s]; i += 32) {
      batch.sequence_of[batch.first_row[s] + i] = static_cast<int32_t>(s);
      batch.position_of[batch.first_row[s] + i] = batch.past[s] + i;
    }
  }
  __syncthreads();
  if (warp == 0) add_up_pages(batch);
  __threadfence();  // for kernels that read it before they wait
}

}  // namespace

void number_rows(const Batch& batch, const device::Queue& queue) noexcept {
  number_rows_kernel<<<1, 1024, 0, device::stream_of(queue)>>>(batch);
}

}  // namespace ktx::ops::cuda
