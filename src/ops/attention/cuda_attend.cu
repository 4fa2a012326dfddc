// Attention for any sizes: a block a head of a row. Its warps take keys in turn, lanes share the
// numbers of a key, and the warps' sums are merged in order.
#include "core/device/cuda.hpp"
#include "ops/attention/cuda_attend.hpp"
#include "ops/attention/cuda_rows.cuh"

namespace ktx::ops::cuda {
namespace {

constexpr int warps = 8;
constexpr float lowest = -1e30f;

/// What a warp has seen: the largest score, the sum of exp2(score - largest), the weighted values.
template <int V>
struct Seen {
  float max = lowest, sum = 0;
  float values[V] = {};
};

template <int K, int V>
__device__ Seen<V> attend_warp(const AttendArgs& args, int64_t row, int head, int warp, int lane) {
  const int32_t sequence = args.batch.sequence_of[row], position = args.batch.position_of[row];
  const int kv = head / args.heads_per_kv;
  const int key_at = kv * args.key_step, value_at = args.value_at + kv * args.value_step;
  const float log2_e = 1.4426950408889634f;
  const uint16_t* q = args.q + ((row - args.row_begin) * args.heads + head) * args.key_dim;
  float query[K];
#pragma unroll
  for (int i = 0; i < K; ++i) {
    const int at = lane + 32 * i;
    query[i] = at < args.key_dim ? args.scale * log2_e * bf16_to_f32(q[at]) : 0.0f;
  }
  Seen<V> seen;
  const int begin = args.window > 0 && position >= args.window ? position + 1 - args.window : 0;
  for (int key = begin + warp; key <= position; key += warps) {
    const std::byte* cached = row_of(args.cache, args.batch, sequence, key);
    float score = 0;
#pragma unroll
    for (int i = 0; i < K; ++i) {
      const int at = lane + 32 * i;
      if (at < args.key_dim) score += query[i] * number_at(args.cache, cached, key_at + at);
    }
    score = warp_sum(score);
    const float max = fmaxf(seen.max, score);
    const float before = exp2f(seen.max - max), weight = exp2f(score - max);
    seen.max = max;
    seen.sum = seen.sum * before + weight;
#pragma unroll
    for (int i = 0; i < V; ++i) {
      const int at = lane + 32 * i;
      if (at < args.value_dim) {
        seen.values[i] =
            seen.values[i] * before + weight * number_at(args.cache, cached, value_at + at);
      }
    }
  }
  return seen;
}

template <int K, int V>
__global__ void __launch_bounds__(32 * warps) attend_kernel(AttendArgs args) {
  __shared__ float maxima[warps], sums[warps], values[warps][32 * V];
  const int64_t row = args.row_begin + blockIdx.y;
  if (args.batch.sequence_of[row] < 0) return;
  const int head = blockIdx.x, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
  const Seen<V> seen = attend_warp<K, V>(args, row, head, warp, lane);
  maxima[warp] = seen.max;
  sums[warp] = seen.sum;
#pragma unroll
  for (int i = 0; i < V; ++i) values[warp][lane + 32 * i] = seen.values[i];
  __syncthreads();
  float max = lowest;
  for (int w = 0; w < warps; ++w) max = fmaxf(max, maxima[w]);
  for (int at = threadIdx.x; at < args.value_dim; at += 32 * warps) {
    float sum = 0, value = 0;
    for (int w = 0; w < warps; ++w) {
      const float weight = exp2f(maxima[w] - max);
      sum += weight * sums[w];
      value += weight * values[w][at];
    }
    args.out[(int64_t{blockIdx.y} * args.heads + head) * args.value_dim + at] =
        f32_to_bf16(value / sum);
  }
}

}  // namespace

void attend(const AttendArgs& args, const device::Queue& queue) noexcept {
  if (args.row_begin == args.row_end) return;
  const dim3 grid(static_cast<unsigned>(args.heads),
                  static_cast<unsigned>(args.row_end - args.row_begin));
  const auto kernel = args.key_dim <= 64    ? attend_kernel<2, 2>
                      : args.key_dim <= 128 ? attend_kernel<4, 4>
                      : args.key_dim <= 256 ? attend_kernel<8, 8>
                                            : attend_kernel<18, 16>;
  kernel<<<grid, 32 * warps, 0, device::stream_of(queue)>>>(args);
}

}  // namespace ktx::ops::cuda
