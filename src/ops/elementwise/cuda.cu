// Elementwise ops, conversions, and the choice of rows on a GPU.
#include "ops/elementwise/cuda.hpp"

#include "core/device/cuda.hpp"
#include "ops/cuda/launch.cuh"
#include "ops/cuda/numbers.cuh"
#include "ops/cuda/warp.cuh"

namespace ktx::ops::cuda {

namespace {

constexpr int threads = 256;

__device__ float silu(float x) {
  return x / (1 + __expf(-x));
}

__global__ void silu_mul_kernel(SiluMulArgs args) {
  const int64_t i = 2 * (int64_t{blockIdx.x} * threads + threadIdx.x), t = blockIdx.y;
  if (i >= args.width) return;
  const auto pair = [&](const uint16_t* x, int64_t stride) {
    return *reinterpret_cast<const uint32_t*>(x + t * stride + i);
  };
  const uint32_t gate = pair(args.gate, args.gate_stride), up = pair(args.up, args.up_stride);
  *reinterpret_cast<uint32_t*>(args.y + t * args.y_stride + i) =
      bf16_pair(silu(low_bf16(gate)) * low_bf16(up), silu(high_bf16(gate)) * high_bf16(up));
}

__global__ void add_kernel(PairArgs args) {
  await_previous();
  const int64_t i = int64_t{blockIdx.x} * threads + threadIdx.x, t = blockIdx.y;
  if (i >= args.width) return;
  args.y[t * args.y_stride + i] = args.a[t * args.a_stride + i] + args.b[t * args.b_stride + i];
}

__global__ void scale_sigmoid_kernel(PairArgs args) {
  const int64_t i = int64_t{blockIdx.x} * threads + threadIdx.x, t = blockIdx.y;
  if (i >= args.width) return;
  const float scale = 1 / (1 + __expf(-args.b[t * args.b_stride]));
  args.y[t * args.y_stride + i] = args.a[t * args.a_stride + i] * scale;
}

__global__ void convert_kernel(ConvertArgs args) {
  const int64_t i = int64_t{blockIdx.x} * threads + threadIdx.x, t = blockIdx.y;
  if (i >= args.width) return;
  const int64_t from = t * args.from_stride + i, to = t * args.to_stride + i;
  const float x = args.from != nullptr ? args.from[from] : bf16_to_f32(args.from_bf16[from]);
  if (args.to != nullptr)
    args.to[to] = x;
  else
    args.to_bf16[to] = f32_to_bf16(x);
}

__global__ void add_bias_kernel(BiasArgs args) {
  const int64_t i = int64_t{blockIdx.x} * threads + threadIdx.x;
  if (i >= args.width) return;
  const int64_t at = blockIdx.y * args.y_stride + i;
  if (args.y != nullptr)
    args.y[at] += args.bias[i];
  else
    args.y_bf16[at] = f32_to_bf16(bf16_to_f32(args.y_bf16[at]) + args.bias[i]);
}

__global__ void take_rows_kernel(TakeRowsArgs args) {
  const int64_t i = int64_t{blockIdx.x} * threads + threadIdx.x, t = blockIdx.y;
  if (i < args.width) args.y[t * args.y_stride + i] = args.x[args.rows[t] * args.x_stride + i];
}

dim3 grid_of(int64_t width, int64_t tokens) {
  return {device::blocks_for(width, threads), static_cast<unsigned>(tokens)};
}

}  // namespace

void silu_mul(const SiluMulArgs& args, const device::Queue& queue) noexcept {
  if (args.tokens == 0) return;
  const dim3 grid(device::blocks_for(args.width, 2 * threads), static_cast<unsigned>(args.tokens));
  silu_mul_kernel<<<grid, threads, 0, device::stream_of(queue)>>>(args);
}

void add(const PairArgs& args, const device::Queue& queue) noexcept {
  if (args.tokens == 0) return;
  launch(add_kernel, {grid_of(args.width, args.tokens), threads}, queue, args);
}

void scale_sigmoid(const PairArgs& args, const device::Queue& queue) noexcept {
  if (args.tokens == 0) return;
  scale_sigmoid_kernel<<<grid_of(args.width, args.tokens), threads, 0, device::stream_of(queue)>>>(
      args);
}

void convert(const ConvertArgs& args, const device::Queue& queue) noexcept {
  if (args.tokens == 0) return;
  convert_kernel<<<grid_of(args.width, args.tokens), threads, 0, device::stream_of(queue)>>>(args);
}

void add_bias(const BiasArgs& args, const device::Queue& queue) noexcept {
  if (args.tokens == 0) return;
  add_bias_kernel<<<grid_of(args.width, args.tokens), threads, 0, device::stream_of(queue)>>>(args);
}

void take_rows(const TakeRowsArgs& args, const device::Queue& queue) noexcept {
  if (args.count == 0) return;
  take_rows_kernel<<<grid_of(args.width, args.count), threads, 0, device::stream_of(queue)>>>(args);
}

}  // namespace ktx::ops::cuda
