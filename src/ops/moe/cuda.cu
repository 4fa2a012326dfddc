// Routed experts on a GPU: sorted pairs, gate and up with SiLU, down, and each token's sum in its
// order.
#include "ops/moe/cuda.hpp"

#include <algorithm>

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
  take(scratch.sorted.order, pairs);
  take(scratch.sorted.position, tokens * args.top_k);
  take(scratch.h, pairs * args.intermediate);
  take(scratch.out, pairs * args.hidden);
  return scratch;
}

constexpr int threads = 256;

// A thread a number of y: its pairs are added in the order of the token's experts.
__global__ void __launch_bounds__(threads)
    sum_kernel(MoeArgs args, const int32_t* position, const float* out) {
  const int64_t i = int64_t{blockIdx.x} * threads + threadIdx.x, t = blockIdx.y;
  if (i >= args.hidden) return;
  float sum = args.add != nullptr ? args.add[t * args.y_stride + i] : 0;
  for (int64_t pair = t * args.top_k; pair < (t + 1) * args.top_k; ++pair)
    if (position[pair] >= 0)
      sum = fmaf(args.weights[pair], out[position[pair] * args.hidden + i], sum);
  args.y[t * args.y_stride + i] = sum;
}

ProductsArgs products_of(const MoeArgs& args, const Scratch& scratch, quant::Format format,
                         int64_t rows, int64_t cols) noexcept {
  const X16 x16 = *x16_format(format);
  return {.format = x16,
          .rows = static_cast<int>(rows),
          .cols = static_cast<int>(cols),
          .group_bytes = x16_group_bytes(x16, cols),
          .groups = static_cast<int>((rows + row_group - 1) / row_group),
          .routing = {.used = scratch.sorted.used,
                      .used_expert = scratch.sorted.used_expert,
                      .used_first = scratch.sorted.used_first,
                      .used_tiles = scratch.sorted.used_tiles,
                      .order = scratch.sorted.order,
                      .top_k = args.top_k},
          .experts = args.table};
}

}  // namespace

std::string moe_refusal(quant::Format gate_up, quant::Format down, int64_t hidden,
                        int64_t intermediate) {
  for (const auto& [format, rows, cols] :
       {std::tuple{gate_up, intermediate, hidden}, std::tuple{down, hidden, intermediate}}) {
    if (std::string reason = matmul_refusal(format, rows, cols); !reason.empty()) return reason;
    if (!has_few_rows(*x16_format(format)))
      return "no GPU kernel of experts reads " + std::string(quant::name(format));
  }
  return {};
}

int64_t moe_scratch_bytes(const MoeArgs& shape, int64_t max_tokens, int64_t pairs) noexcept {
  return layout(shape, nullptr, max_tokens, pairs).bytes;
}

void moe(const MoeArgs& args, const device::Queue& queue) noexcept {
  if (args.tokens == 0) return;
  const device::CurrentGpu current(queue.place().index);
  const Scratch scratch = layout(args, args.scratch, args.tokens, args.scratch_pairs);

  ProductsArgs gate_up = products_of(args, scratch, args.gate_up, args.intermediate, args.hidden);
  gate_up.gated = true;
  gate_up.x = args.x;
  gate_up.x_stride = args.x_stride;
  gate_up.x_row = RowOf::token;
  gate_up.y_bf16 = scratch.h;
  gate_up.y_stride = args.intermediate;
  ProductsArgs down = products_of(args, scratch, args.down, args.hidden, args.intermediate);
  down.x = scratch.h;
  down.x_stride = args.intermediate;
  down.y = scratch.out;
  down.y_stride = args.hidden;

  plan_products(gate_up, args.tokens, queue);  // an expert gets one pair of a token at most
  plan_products(down, args.tokens, queue);
  sort_pairs(args, scratch.sorted, 8 * gate_up.token_tiles, queue);
  run_products(gate_up, queue);
  run_products(down, queue);
  const dim3 grid(device::blocks_for(args.hidden, threads), static_cast<unsigned>(args.tokens));
  sum_kernel<<<grid, threads, 0, device::stream_of(queue)>>>(args, scratch.sorted.position,
                                                             scratch.out);
}

}  // namespace ktx::ops::cuda
