// Routed experts on a GPU: sorted pairs, gate and up with SiLU, down, and each token's sum in its
// order.
#include "ops/moe/cuda.hpp"

#include <climits>

#include "core/device/cuda.hpp"
#include "ops/matmul/cuda/matmul.hpp"
#include "ops/matmul/layout_x16.hpp"
#include "ops/moe/cuda_routing.cuh"

namespace ktx::ops::cuda {

namespace {

/// Where the parts of the scratch lie.
struct Scratch {
  SortedPairs sorted;
  uint16_t* h = nullptr;  // bf16 [pairs, intermediate], by position
  float* out = nullptr;   // [pairs, hidden], by position
  int64_t bytes = 0;
};

Scratch layout(const MoeArgs& args, std::byte* base, int64_t tokens, int64_t pairs) noexcept {
  Scratch scratch;
  const auto take = [&]<class T>(T*& part, int64_t count) {
    part = reinterpret_cast<T*>(base + scratch.bytes);
    scratch.bytes += (count * static_cast<int64_t>(sizeof(T)) + 255) / 256 * 256;
  };
  take(scratch.sorted.used, 1);
  take(scratch.sorted.used_expert, most_experts);
  take(scratch.sorted.used_first, most_experts + 1);
  take(scratch.sorted.used_tiles, most_experts + 1);
  take(scratch.sorted.order, tokens * args.top_k);
  take(scratch.sorted.position, tokens * args.top_k);
  take(scratch.h, pairs * args.intermediate);
  take(scratch.out, pairs * args.hidden);
  return scratch;
}

constexpr int threads = 256;

/// sum + the weighted outputs of those of a token's pairs whose positions are in [first, beyond),
/// in the order of the token's experts. out: from position `first` on.
__device__ __forceinline__ float add_pairs(const MoeArgs& args, const int32_t* position,
                                           const float* out, int64_t t, int64_t i, int first,
                                           int beyond, float sum) {
  for (int64_t pair = t * args.top_k; pair < (t + 1) * args.top_k; ++pair)
    if (const int at = position[pair]; at >= first && at < beyond)
      sum = fmaf(args.weights[pair], out[int64_t{at - first} * args.hidden + i], sum);
  return sum;
}

// A thread a number of y.
__global__ void __launch_bounds__(threads)
    sum_kernel(MoeArgs args, const int32_t* position, const float* out) {
  const int64_t i = int64_t{blockIdx.x} * threads + threadIdx.x, t = blockIdx.y;
  if (i >= args.hidden) return;
  const float add = args.add != nullptr ? args.add[t * args.y_stride + i] : 0;
  args.y[t * args.y_stride + i] = add_pairs(args, position, out, t, i, 0, INT_MAX, add);
}

// A block a token that has pairs in the part: it comes with the first of them.
__global__ void __launch_bounds__(threads)
    add_kernel(MoeArgs args, Routing routing, const int32_t* position, const float* out) {
  const int first = routing.used_first[routing.begin];
  const int beyond = routing.used_first[end_of(routing)];
  for (int at = first + blockIdx.x; at < beyond; at += gridDim.x) {
    const int pair = routing.order[at];
    const int64_t t = pair / args.top_k;
    bool has_before = false;
    for (int64_t other = t * args.top_k; other < pair; ++other)
      has_before |= position[other] >= first && position[other] < beyond;
    if (has_before) continue;
    float* y = args.y + t * args.y_stride;
    for (int64_t i = threadIdx.x; i < args.hidden; i += threads)
      y[i] = add_pairs(args, position, out, t, i, first, beyond, y[i]);
  }
}

Routing routing_of(const MoeArgs& args, const SortedPairs& sorted) noexcept {
  return {.used = sorted.used,
          .used_expert = sorted.used_expert,
          .used_first = sorted.used_first,
          .used_tiles = sorted.used_tiles,
          .order = sorted.order,
          .top_k = args.top_k};
}

ProductsArgs products_of(const MoeArgs& args, const SortedPairs& sorted, quant::Format format,
                         int64_t rows, int64_t cols) noexcept {
  const X16 x16 = *x16_format(format);
  return {.format = x16,
          .cols = static_cast<int>(cols),
          .group_bytes = x16_group_bytes(x16, cols),
          .parts = {{.rows = static_cast<int>(rows)}},
          .routing = routing_of(args, sorted),
          .mean_tokens = args.tokens * args.top_k / args.experts,
          .experts = args.table};
}

/// The products of the experts, planned.
struct ExpertProducts {
  ProductsArgs gate_up, down;

  ExpertProducts(const MoeArgs& args, const Scratch& scratch, const device::Queue& queue) noexcept
      : gate_up(products_of(args, scratch.sorted, args.gate_up, args.intermediate, args.hidden)),
        down(products_of(args, scratch.sorted, args.down, args.hidden, args.intermediate)) {
    gate_up.gated = true;
    gate_up.x = args.x;
    gate_up.x_stride = args.x_stride;
    gate_up.x_row = RowOf::token;
    gate_up.parts[0].y_bf16 = scratch.h;
    gate_up.parts[0].y_stride = args.intermediate;
    down.x = scratch.h;
    down.x_stride = args.intermediate;
    down.parts[0].y = scratch.out;
    down.parts[0].y_stride = args.hidden;
    plan_products(gate_up, args.tokens, queue);  // an expert gets one pair of a token at most
    plan_products(down, args.tokens, queue);
  }
  int tokens_a_tile() const noexcept { return 8 * gate_up.token_tiles; }
};

}  // namespace

int64_t moe_scratch_bytes(const MoeArgs& shape, int64_t max_tokens, int64_t pairs) noexcept {
  return layout(shape, nullptr, max_tokens, pairs).bytes;
}

void moe(const MoeArgs& args, const device::Queue& queue) noexcept {
  if (args.tokens == 0) return;
  const device::CurrentGpu current(queue.place().index);
  const Scratch scratch = layout(args, args.scratch, args.tokens, args.scratch_pairs);

  const ExpertProducts products(args, scratch, queue);
  sort_pairs(args, scratch.sorted, products.tokens_a_tile(), queue);
  run_products(products.gate_up, queue);
  run_products(products.down, queue);
  const dim3 grid(device::blocks_for(args.hidden, threads), static_cast<unsigned>(args.tokens));
  sum_kernel<<<grid, threads, 0, device::stream_of(queue)>>>(args, scratch.sorted.position,
                                                             scratch.out);
}

void moe_begin(const MoeArgs& args, const ExpertOrder& order, const device::Queue& queue) noexcept {
  if (args.tokens == 0) return;
  const device::CurrentGpu current(queue.place().index);
  const Scratch scratch = layout(args, args.scratch, args.tokens, args.scratch_pairs);
  const ExpertProducts products(args, scratch, queue);
  sort_pairs(args, order, scratch.sorted, products.tokens_a_tile(), queue);

  const auto stream = device::stream_of(queue);
  const auto pitch = static_cast<size_t>(args.y_stride) * sizeof(float);
  const auto width = static_cast<size_t>(args.hidden) * sizeof(float);
  const auto tokens = static_cast<size_t>(args.tokens);
  if (args.add == nullptr)
    cudaMemset2DAsync(args.y, pitch, 0, width, tokens, stream);
  else if (args.add != args.y)
    cudaMemcpy2DAsync(args.y, pitch, args.add, pitch, width, tokens, cudaMemcpyDeviceToDevice,
                      stream);
}

void moe_part(const MoeArgs& args, int begin, int end, const device::Queue& queue) noexcept {
  if (args.tokens == 0 || begin == end) return;
  const device::CurrentGpu current(queue.place().index);
  const Scratch scratch = layout(args, args.scratch, args.tokens, args.scratch_pairs);
  ExpertProducts products(args, scratch, queue);
  Routing& routing = products.gate_up.routing;
  routing.begin = begin;
  routing.end = end;
  products.down.routing = routing;
  run_products(products.gate_up, queue);
  run_products(products.down, queue);
  constexpr int blocks_a_multiprocessor = 8;
  const int blocks =
      device::limits_of(queue.place().index).multiprocessors * blocks_a_multiprocessor;
  add_kernel<<<blocks, threads, 0, device::stream_of(queue)>>>(
      args, routing, scratch.sorted.position, scratch.out);
}

}  // namespace ktx::ops::cuda
