// A step's tokens into the cache: a block a token, its numbers in shared memory, then stored in the
// cache's format exactly as the CPU stores them. And the step's queries.
#include <algorithm>
#include <cfloat>

#include "core/device/cuda.hpp"
#include "ops/attention/cuda_cache.hpp"
#include "ops/attention/cuda_heads.cuh"
#include "ops/attention/cuda_rows.cuh"
#include "ops/cuda/launch.cuh"

namespace ktx::ops::cuda {
namespace {

constexpr int threads = 128;

/// A warp stores a group of scaled numbers as codes and their scale, which makes the largest
/// magnitude the largest code. What is not finite makes the group NaN.
__device__ void store_group(const float* x, int n, std::byte* codes, float* scale_to) {
  const int lane = threadIdx.x % 32;
  float largest = 0;
  bool finite = true;
  for (int i = lane; i < n; i += 32) {
    largest = fmaxf(largest, fabsf(x[i]));
    finite = finite && isfinite(x[i]);
  }
  largest = warp_max(largest);
  finite = __all_sync(every_lane, finite);
  float scale = largest / 448;
  if (scale < FLT_MIN) scale = 0;
  if (lane == 0) *scale_to = finite ? scale : NAN;
  const bool zero = !finite || scale == 0;
  for (int i = lane; i < n; i += 32) {
    codes[i] = static_cast<std::byte>(zero ? 0 : f32_to_e4m3(x[i] / scale));
  }
}

/// All numbers of a row, which the block holds in shared memory.
__device__ void store_row(const KvPages& cache, const float* x, std::byte* to) {
  const int numbers = static_cast<int>(cache.row.numbers());
  if (cache.format == graph::KvFormat::f32) {
    for (int i = threadIdx.x; i < numbers; i += threads) reinterpret_cast<float*>(to)[i] = x[i];
    return;
  }
  if (cache.format == graph::KvFormat::bf16) {
    auto* out = reinterpret_cast<uint16_t*>(to);
    for (int i = threadIdx.x; i < numbers; i += threads) out[i] = f32_to_bf16(x[i]);
    return;
  }
  const int scaled = static_cast<int>(cache.row.scaled), group = static_cast<int>(cache.row.group);
  auto* scales = reinterpret_cast<float*>(to + scaled);
  for (int at = static_cast<int>(threadIdx.x / 32) * group; at < scaled;
       at += threads / 32 * group) {
    store_group(x + at, min(group, scaled - at), to + at, scales + at / group);
  }
  auto* exact = reinterpret_cast<uint16_t*>(to + exact_at(cache.row));
  for (int i = scaled + threadIdx.x; i < numbers; i += threads) {
    exact[i - scaled] = f32_to_bf16(x[i]);
  }
}

/// numbers: in shared memory, for a row of the cache. What needs not be waited for is asked for
/// first.
__device__ __forceinline__ void append_row(const AppendMlaArgs& args, int64_t row, float* numbers) {
  const int32_t sequence = args.batch.sequence_of[row], position = args.batch.position_of[row];
  if (sequence < 0) return;
  std::byte* to = row_of(args.cache, args.batch, sequence, position);
  const int kv_lora = static_cast<int>(args.cache.row.scaled);
  const int rope = static_cast<int>(args.cache.row.exact);
  const float* k_rope = args.k_rope + row * args.k_rope_stride;
  for (int i = threadIdx.x; i < rope; i += threads) {
    numbers[kv_lora + i] = rotated(args.rope, k_rope, i, position);
  }
  const float* latent = args.latent + row * args.latent_stride;
  float squares = 0;
#pragma unroll 4
  for (int i = threadIdx.x; i < kv_lora; i += threads) {
    const float x = numbers[i] = latent[i];
    squares += x * x;
  }
  if (args.norm != nullptr) {
    const float inverse = rsqrtf(block_sum(squares) / static_cast<float>(kv_lora) + args.eps);
#pragma unroll 4
    for (int i = threadIdx.x; i < kv_lora; i += threads) {
      numbers[i] = args.norm[i] * (numbers[i] * inverse);
    }
  }
  __syncthreads();
  store_row(args.cache, numbers, to);
}

__global__ void __launch_bounds__(threads) append_mla_kernel(AppendMlaArgs args) {
  extern __shared__ float numbers[];
  append_row(args, blockIdx.x, numbers);
}

__global__ void __launch_bounds__(threads) append_gqa_kernel(AppendGqaArgs args) {
  extern __shared__ float numbers[];
  const int64_t row = blockIdx.x;
  const int32_t sequence = args.batch.sequence_of[row];
  if (sequence < 0) return;
  const int32_t position = args.batch.position_of[row];
  const int width = args.kv_heads * args.head;
  const float* k = args.k + row * args.k_stride;
  const float* v = args.v + row * args.v_stride;
  for (int i = threadIdx.x; i < width; i += threads) {
    const int begin = i / args.head * args.head;
    numbers[i] = rotated(args.rope, k + begin, i - begin, position);
    numbers[width + i] = v[i];
  }
  __syncthreads();
  store_row(args.cache, numbers, row_of(args.cache, args.batch, sequence, position));
}

__global__ void __launch_bounds__(threads) query_kernel(QueryArgs args) {
  const int64_t row = args.row_begin + blockIdx.x, to = blockIdx.x;
  if (args.batch.sequence_of[row] < 0) return;
  const int32_t position = args.batch.position_of[row];
  const int width = args.plain + args.rotate;
  for (int i = blockIdx.y * threads + threadIdx.x; i < args.heads * width;
       i += gridDim.y * threads) {
    const int head = i / width, number = i % width - args.plain;
    const NumbersAsF32 q{args.q.from(row * args.q_stride + head * width + args.plain)};
    if (number < 0) {
      args.plain_to[to * args.plain_row + head * args.plain_head + number + args.plain] =
          f32_to_bf16(q[number]);
    } else {
      args.rotated_to[to * args.rotated_row + head * args.rotated_head + number] =
          f32_to_bf16(rotated(args.rope, q, number, position));
    }
  }
}

unsigned shared_bytes(const KvPages& cache) noexcept {
  return static_cast<unsigned>(cache.row.numbers() * int64_t{sizeof(float)});
}

constexpr int widen_outputs = 64;  // of k_b, of a block
/// One row has all its weights on the way before it is there.
template <int R, class Rows>
using WidenWeights = HeadWeights<Rows, 16, R == 1 ? 8 : 2, 1>;
static_assert(WidenWeights<1, Bf16Rows>::outputs(threads) == widen_outputs);

/// A block a row appends; the others have a part of a head each, the first of which rotates. Eight
/// on a multiprocessor, so that DeepSeek-V3's 1,024 parts are all there at once.
template <int R, class Rows>
__global__ void __launch_bounds__(threads, R == 1 ? 8 : 1)
    widen_kernel(const __grid_constant__ WidenArgs args, int parts) {
  extern __shared__ float numbers[];
  const Batch& batch = args.append.batch;
  if (blockIdx.x < batch.rows) {
    if (args.append.norm != nullptr)
      fetch_to_l2(args.append.norm, args.append.cache.row.scaled * int64_t{sizeof(float)},
                  threadIdx.x, threads);
    await_previous();
    return append_row(args.append, blockIdx.x, numbers);
  }
  const int block = static_cast<int>(blockIdx.x - batch.rows);
  const int head = block / parts, part = block % parts;
  const int64_t kv_lora = args.append.cache.row.scaled, rope = args.append.cache.row.exact;
  const int64_t begin = part * int64_t{widen_outputs};
  const int64_t width = kv_lora + rope, row_width = args.heads * width;
  uint16_t* queries = args.queries + head * width;
  auto* x = reinterpret_cast<uint16_t*>(numbers);
  const HeadPart product{.weights = matrix_of<Rows>(args.k_b, head, kv_lora, args.nope),
                         .inputs = args.nope,
                         .begin = begin,
                         .end = min(begin + widen_outputs, kv_lora),
                         .x = x,
                         .x_row = args.nope,
                         .rows = args.rows,
                         .y = queries,
                         .y_row = row_width};
  WidenWeights<R, Rows> weights;
  weights.load_first(product, static_cast<int>(threadIdx.x), threads);

  await_previous();
  const NumbersAsF32 q{args.q.from(head * (args.nope + rope))};
  for (int i = threadIdx.x; i < args.rows * args.nope; i += threads) {
    const int row = R == 1 ? 0 : i / args.nope;
    const float number = q[row * args.q_stride + i - row * args.nope];
    x[i] = f32_to_bf16(batch.sequence_of[row] >= 0 ? number : 0.0f);
  }
  if (part == 0) {
    for (int i = threadIdx.x; i < args.rows * rope; i += threads) {
      const int row = i / static_cast<int>(rope), number = i % static_cast<int>(rope);
      const bool used = batch.sequence_of[row] >= 0;
      const int32_t position = batch.position_of[row];
      const NumbersAsF32 plain{q.numbers.from(row * args.q_stride + args.nope)};
      const float turned = rotated(args.append.rope, plain, number, used ? position : 0);
      queries[row * row_width + kv_lora + number] = f32_to_bf16(used ? turned : 0.0f);
    }
  }
  __syncthreads();
  multiply_part<R>(product, weights, static_cast<int>(threadIdx.x), threads);
}

template <int R, class Rows>
void enqueue_widen(const WidenArgs& args, const device::Queue& queue) noexcept {
  const unsigned parts = device::blocks_for(args.append.cache.row.scaled, widen_outputs);
  const auto blocks =
      static_cast<unsigned>(args.append.batch.rows) + static_cast<unsigned>(args.heads) * parts;
  const unsigned bytes =
      std::max(shared_bytes(args.append.cache), static_cast<unsigned>(args.rows * args.nope * 2));
  launch(widen_kernel<R, Rows>, {blocks, threads, bytes}, queue, args, static_cast<int>(parts));
}

__global__ void __launch_bounds__(threads) gather_kernel(GatherArgs args) {
  const int64_t token = blockIdx.x;
  const int numbers = static_cast<int>(args.cache.row.numbers());
  const std::byte* row = row_of(args.cache, args.batch, args.sequence, token);
  for (int i = threadIdx.x; i < numbers; i += threads) {
    args.to[token * numbers + i] = f32_to_bf16(number_at(args.cache, row, i));
  }
}

}  // namespace

void append(const AppendMlaArgs& args, const device::Queue& queue) noexcept {
  append_mla_kernel<<<static_cast<unsigned>(args.batch.rows), threads, shared_bytes(args.cache),
                      device::stream_of(queue)>>>(args);
}

void append(const AppendGqaArgs& args, const device::Queue& queue) noexcept {
  append_gqa_kernel<<<static_cast<unsigned>(args.batch.rows), threads, shared_bytes(args.cache),
                      device::stream_of(queue)>>>(args);
}

void rotate_queries(const QueryArgs& args, const device::Queue& queue) noexcept {
  const int64_t width = int64_t{args.heads} * (args.plain + args.rotate);
  if (args.row_begin == args.row_end) return;
  const dim3 grid(static_cast<unsigned>(args.row_end - args.row_begin),
                  device::blocks_for(width, 8 * threads));
  query_kernel<<<grid, threads, 0, device::stream_of(queue)>>>(args);
}

void append_and_widen(const WidenArgs& args, const device::Queue& queue) noexcept {
  with_rows(args.k_b.format, [&]<class Rows>() {
    if (args.rows == 1)
      enqueue_widen<1, Rows>(args, queue);
    else
      enqueue_widen<most_widened_rows, Rows>(args, queue);
  });
}

void gather(const GatherArgs& args, const device::Queue& queue) noexcept {
  gather_kernel<<<static_cast<unsigned>(args.tokens), threads, 0, device::stream_of(queue)>>>(args);
}

}  // namespace ktx::ops::cuda
