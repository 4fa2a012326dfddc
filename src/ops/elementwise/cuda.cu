// Elementwise ops and the choice of the next token on a GPU.
#include "ops/elementwise/cuda.hpp"

#include "core/device/cuda.hpp"
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

__global__ void add_kernel(AddArgs args) {
  const int64_t i = int64_t{blockIdx.x} * threads + threadIdx.x;
  if (i < args.n) args.y[i] = args.a[i] + args.b[i];
}

__global__ void to_bf16_kernel(const float* x, uint16_t* y, int64_t n) {
  const int64_t i = int64_t{blockIdx.x} * threads + threadIdx.x;
  if (i < n) y[i] = __bfloat16_as_ushort(__float2bfloat16_rn(x[i]));
}

struct Best {
  float value;
  int32_t id;
};

__device__ Best better(Best a, Best b) {
  const bool second = b.value > a.value || (b.value == a.value && b.id < a.id);
  return second ? b : a;
}

__device__ Best warp_best(Best best) {
  for (int step = 16; step > 0; step /= 2)
    best = better(best, {__shfl_xor_sync(every_lane, best.value, step),
                         __shfl_xor_sync(every_lane, best.id, step)});
  return best;
}

// A block a token.
__global__ void __launch_bounds__(1024) argmax_kernel(ArgmaxArgs args) {
  const float* logits = args.logits + blockIdx.x * args.logits_stride;
  // NaN is never better: where there is nothing else, the first id stays.
  Best best{-INFINITY, 0};
  for (int64_t i = threadIdx.x; i < args.width; i += blockDim.x)
    if (logits[i] > best.value) best = {logits[i], static_cast<int32_t>(i)};
  __shared__ Best of_warps[32];
  best = warp_best(best);
  if (threadIdx.x % 32 == 0) of_warps[threadIdx.x / 32] = best;
  __syncthreads();
  if (threadIdx.x >= 32) return;
  best = warp_best(of_warps[threadIdx.x]);
  if (threadIdx.x == 0) args.ids[blockIdx.x] = best.id;
}

}  // namespace

void silu_mul(const SiluMulArgs& args, const device::Queue& queue) noexcept {
  if (args.tokens == 0) return;
  const dim3 grid(device::blocks_for(args.width, 2 * threads), static_cast<unsigned>(args.tokens));
  silu_mul_kernel<<<grid, threads, 0, device::stream_of(queue)>>>(args);
}

void add(const AddArgs& args, const device::Queue& queue) noexcept {
  if (args.n == 0) return;
  add_kernel<<<device::blocks_for(args.n, threads), threads, 0, device::stream_of(queue)>>>(args);
}

void to_bf16(const float* x, uint16_t* y, int64_t n, const device::Queue& queue) noexcept {
  if (n == 0) return;
  to_bf16_kernel<<<device::blocks_for(n, threads), threads, 0, device::stream_of(queue)>>>(x, y, n);
}

void argmax(const ArgmaxArgs& args, const device::Queue& queue) noexcept {
  if (args.tokens == 0) return;
  argmax_kernel<<<static_cast<unsigned>(args.tokens), 1024, 0, device::stream_of(queue)>>>(args);
}

}  // namespace ktx::ops::cuda
