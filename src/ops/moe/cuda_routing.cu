// Pairs of tokens and experts, sorted by expert and token on the GPU.
#include "ops/moe/cuda_routing.cuh"

#include "core/device/cuda.hpp"
#include "ops/cuda/warp.cuh"

namespace ktx::ops::cuda {

namespace {

constexpr int threads = 1024;
static_assert(threads == most_experts, "one thread counts for one expert");

struct Counts {
  int experts, pairs, tiles;
};

/// The sums of all threads before this one, and of all.
__device__ void prefix_sums(const Counts& mine, Counts& before, Counts& all) {
  __shared__ Counts warps[threads / 32];
  const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  Counts sum = mine;
  for (int step = 1; step < 32; step *= 2) {
    const Counts other{__shfl_up_sync(every_lane, sum.experts, step),
                       __shfl_up_sync(every_lane, sum.pairs, step),
                       __shfl_up_sync(every_lane, sum.tiles, step)};
    if (lane >= step)
      sum = {sum.experts + other.experts, sum.pairs + other.pairs, sum.tiles + other.tiles};
  }
  if (lane == 31) warps[warp] = sum;
  __syncthreads();
  before = {sum.experts - mine.experts, sum.pairs - mine.pairs, sum.tiles - mine.tiles};
  all = {};
  for (int i = 0; i < threads / 32; ++i) {
    const Counts& of = warps[i];
    if (i < warp)
      before = {before.experts + of.experts, before.pairs + of.pairs, before.tiles + of.tiles};
    all = {all.experts + of.experts, all.pairs + of.pairs, all.tiles + of.tiles};
  }
}

/// The expert of a pair, or -1 where the table has none.
__device__ __forceinline__ int expert_of(const MoeArgs& args, const bool (&there)[threads],
                                         int64_t pair) {
  const int id = args.ids[pair];
  return id >= 0 && id < args.experts && there[id] ? id : -1;
}

// One block. A warp then collects the pairs of one expert after the other, in their order: few
// experts are used in a decode step, and in a prompt the time does not count.
__global__ void __launch_bounds__(threads)
    sort_kernel(MoeArgs args, SortedPairs sorted, int tokens_a_tile) {
  __shared__ bool there[threads];
  __shared__ int count[threads];
  const int expert = threadIdx.x, lane = expert % 32, warp = expert / 32;
  const int64_t pairs = args.tokens * args.top_k;
  there[expert] = expert < args.experts && args.table[expert].gate != nullptr;
  count[expert] = 0;
  __syncthreads();
  for (int64_t pair = threadIdx.x; pair < pairs; pair += threads) {
    const int id = expert_of(args, there, pair);
    if (id >= 0)
      atomicAdd(&count[id], 1);
    else
      sorted.position[pair] = -1;
  }
  __syncthreads();
  Counts before, all;
  const int mine = count[expert];
  prefix_sums({mine > 0, mine, (mine + tokens_a_tile - 1) / tokens_a_tile}, before, all);
  if (mine > 0) {
    sorted.used_expert[before.experts] = expert;
    sorted.used_first[before.experts] = before.pairs;
    sorted.used_tiles[before.experts] = before.tiles;
  }
  if (expert == 0) {
    *sorted.used = all.experts;
    sorted.used_first[all.experts] = all.pairs;
    sorted.used_tiles[all.experts] = all.tiles;
  }
  count[expert] = before.pairs;  // where its pairs begin
  there[expert] = mine > 0;
  __syncthreads();
  for (int e = warp; e < args.experts; e += threads / 32) {
    if (!there[e]) continue;
    int next = count[e];
    for (int64_t base = 0; base < pairs; base += 32) {
      const int64_t pair = base + lane;
      const bool is = pair < pairs && args.ids[pair] == e;
      const unsigned set = __ballot_sync(every_lane, is);
      const int at = next + __popc(set & ((1u << lane) - 1));
      if (is) {
        sorted.order[at] = static_cast<int32_t>(pair);
        sorted.position[pair] = at;
      }
      next += __popc(set);
    }
  }
}

}  // namespace

void sort_pairs(const MoeArgs& args, const SortedPairs& sorted, int tokens_a_tile,
                const device::Queue& queue) noexcept {
  sort_kernel<<<1, threads, 0, device::stream_of(queue)>>>(args, sorted, tokens_a_tile);
}

}  // namespace ktx::ops::cuda
