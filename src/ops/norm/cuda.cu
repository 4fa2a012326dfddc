// RMS normalisation of rows on a GPU: a block a group, which it keeps in registers.
#include <algorithm>
#include <cstdint>

#include "core/device/cuda.hpp"
#include "ops/cuda/launch.cuh"
#include "ops/cuda/numbers.cuh"
#include "ops/norm/cuda.hpp"

namespace ktx::ops::cuda {
namespace {

/// N numbers that are loaded and stored together.
template <int N>
struct alignas(N * sizeof(float)) Vector {
  float numbers[N];
};
template <int N>
__device__ __forceinline__ Vector<N> load(const float* from) {
  return *reinterpret_cast<const Vector<N>*>(from);
}

constexpr int most_threads = 1024;
constexpr int kept = 2;  // vectors a thread keeps; those of wider groups are read twice

/// x += added, in memory too.
template <int N>
__device__ __forceinline__ void add_to(float* in_memory, Vector<N>& x, const Vector<N>& added) {
  for (int n = 0; n < N; ++n) x.numbers[n] += added.numbers[n];
  *reinterpret_cast<Vector<N>*>(in_memory) = x;
}

template <int N>
__device__ __forceinline__ void store(const RmsNormArgs& args, int64_t at, Vector<N> x,
                                      const Vector<N>& weight, float inverse) {
  for (int n = 0; n < N; ++n) x.numbers[n] = weight.numbers[n] * (x.numbers[n] * inverse);
  if (args.y != nullptr) *reinterpret_cast<Vector<N>*>(args.y + at) = x;
  if (args.y_bf16 == nullptr) return;
  if constexpr (N == 1)
    args.y_bf16[at] = f32_to_bf16(x.numbers[0]);
  else
    *reinterpret_cast<uint2*>(args.y_bf16 + at) = {bf16_pair(x.numbers[0], x.numbers[1]),
                                                   bf16_pair(x.numbers[2], x.numbers[3])};
}

/// All of a group that fits in registers is loaded at once, its weights before x is there.
template <int N>
__global__ void __launch_bounds__(most_threads) rms_norm_kernel(RmsNormArgs args) {
  const int64_t first = N * threadIdx.x, step = N * blockDim.x;
  Vector<N> weights[kept] = {}, values[kept] = {}, added[kept] = {};
#pragma unroll
  for (int k = 0; k < kept; ++k)
    if (first + k * step < args.width) weights[k] = load<N>(args.weight + first + k * step);

  const int64_t row = blockIdx.x / args.groups, column = blockIdx.x % args.groups * args.width;
  float* x = args.x + row * args.x_stride + column;
  const float* add = args.add == nullptr ? nullptr : args.add + row * args.add_stride + column;
  await_previous();
#pragma unroll
  for (int k = 0; k < kept; ++k)
    if (first + k * step < args.width) {
      values[k] = load<N>(x + first + k * step);
      if (add != nullptr) added[k] = load<N>(add + first + k * step);
    }
#pragma unroll
  for (int k = 0; k < kept; ++k)
    if (first + k * step < args.width && add != nullptr)
      add_to(x + first + k * step, values[k], added[k]);

  float squares = 0;
  const auto add_squares = [&](const Vector<N>& of) {
    for (int n = 0; n < N; ++n) squares += of.numbers[n] * of.numbers[n];
  };
#pragma unroll
  for (int k = 0; k < kept; ++k) add_squares(values[k]);
  for (int64_t i = first + kept * step; i < args.width; i += step) {
    Vector<N> value = load<N>(x + i);
    if (add != nullptr) add_to(x + i, value, load<N>(add + i));
    add_squares(value);
  }

  const float inverse = rsqrtf(block_sum(squares) / static_cast<float>(args.width) + args.eps);
  const int64_t to = row * args.y_stride + column;
#pragma unroll
  for (int k = 0; k < kept; ++k)
    if (first + k * step < args.width)
      store<N>(args, to + first + k * step, values[k], weights[k], inverse);
  for (int64_t i = first + kept * step; i < args.width; i += step)
    store<N>(args, to + i, load<N>(x + i), load<N>(args.weight + i), inverse);
}

/// Whether all rows of all groups can be read and written four numbers at a time.
bool by_fours(const RmsNormArgs& args) noexcept {
  const auto aligned = [](const void* at, uintptr_t bytes) {
    return reinterpret_cast<uintptr_t>(at) % bytes == 0;
  };
  return args.width % 4 == 0 && args.x_stride % 4 == 0 && args.add_stride % 4 == 0 &&
         args.y_stride % 4 == 0 && aligned(args.x, 16) && aligned(args.add, 16) &&
         aligned(args.weight, 16) && aligned(args.y, 16) && aligned(args.y_bf16, 8);
}

template <int N>
void enqueue(const RmsNormArgs& args, const device::Queue& queue) noexcept {
  const int64_t threads =
      std::min<int64_t>((args.width + N * 32 - 1) / (N * 32) * 32, most_threads);
  launch(rms_norm_kernel<N>,
         {static_cast<unsigned>(args.rows * args.groups), static_cast<unsigned>(threads)}, queue,
         args);
}

}  // namespace

void rms_norm(const RmsNormArgs& args, const device::Queue& queue) noexcept {
  if (args.rows == 0) return;
  if (by_fours(args))
    enqueue<4>(args, queue);
  else
    enqueue<1>(args, queue);
}

}  // namespace ktx::ops::cuda
