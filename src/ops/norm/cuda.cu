// RMS normalisation of rows on a GPU: a block a group, which it keeps in registers.
#include "core/device/cuda.hpp"
#include "ops/cuda/launch.cuh"
#include "ops/cuda/numbers.cuh"
#include "ops/norm/cuda.hpp"

namespace ktx::ops::cuda {
namespace {

constexpr int kept = 16;  // numbers a thread keeps; those of wider groups are read twice

/// x with what is to be added.
__device__ float summed(float* x, const float* add, int64_t i) {
  if (add == nullptr) return x[i];
  return x[i] += add[i];
}

__global__ void rms_norm_kernel(RmsNormArgs args) {
  await_previous();
  const int64_t row = blockIdx.x / args.groups, column = blockIdx.x % args.groups * args.width;
  float* x = args.x + row * args.x_stride + column;
  const float* add = args.add == nullptr ? nullptr : args.add + row * args.add_stride + column;
  float values[kept];
  float squares = 0;
#pragma unroll
  for (int k = 0; k < kept; ++k) {
    const int64_t i = threadIdx.x + int64_t(k) * blockDim.x;
    if (i >= args.width) break;
    values[k] = summed(x, add, i);
    squares += values[k] * values[k];
  }
  for (int64_t i = threadIdx.x + int64_t(kept) * blockDim.x; i < args.width; i += blockDim.x) {
    const float value = summed(x, add, i);
    squares += value * value;
  }
  const float inverse = rsqrtf(block_sum(squares) / static_cast<float>(args.width) + args.eps);
  const auto store = [&](int64_t i, float value) {
    const float y = args.weight[i] * (value * inverse);
    const int64_t at = row * args.y_stride + column + i;
    if (args.y != nullptr) args.y[at] = y;
    if (args.y_bf16 != nullptr) args.y_bf16[at] = f32_to_bf16(y);
  };
#pragma unroll
  for (int k = 0; k < kept; ++k) {
    const int64_t i = threadIdx.x + int64_t(k) * blockDim.x;
    if (i >= args.width) break;
    store(i, values[k]);
  }
  for (int64_t i = threadIdx.x + int64_t(kept) * blockDim.x; i < args.width; i += blockDim.x) {
    store(i, x[i]);
  }
}

}  // namespace

void rms_norm(const RmsNormArgs& args, const device::Queue& queue) noexcept {
  if (args.rows == 0) return;
  const auto blocks = static_cast<unsigned>(args.rows * args.groups);
  const unsigned threads = args.width <= 512 ? 128 : args.width <= 4096 ? 512 : 1024;
  launch(rms_norm_kernel, {blocks, threads}, queue, args);
}

}  // namespace ktx::ops::cuda
