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

/// Experts of the table: a key is an expert.
struct ByTable {
  const ExpertWeights* table;
  int experts;

  __device__ int expert(int key) const {
    return key < experts && table[key].gate != nullptr ? key : -1;
  }
  __device__ int row(int key) const { return key; }
  __device__ bool used(int, int tokens) const { return tokens > 0; }
};

/// Experts of an order: a key is a place in it.
struct ByOrder {
  ExpertOrder order;

  __device__ int expert(int key) const { return key < order.count ? order.expert[key] : -1; }
  __device__ int row(int key) const { return order.slot[key]; }
  __device__ bool used(int key, int) const { return key < order.count; }
};

/// The pairs of one warp: a range of all, so that pairs of a key keep their order.
struct WarpPairs {
  const MoeArgs& args;
  const int* key_of;  // [threads] of an expert; -1: it is not run
  int* counts;        // [experts] by key; of this warp alone
  int64_t begin, end;

  /// place(pair, key, n) for each: n of its key are counted before it. Key -1: it is not run.
  template <class Place>
  __device__ void count(const Place& place) const {
    const int lane = threadIdx.x % 32;
    for (int64_t base = begin; base < end; base += 32) {
      const int id = base + lane < end ? args.ids[base + lane] : -1;
      const int key = id >= 0 && id < args.experts ? key_of[id] : -1;
      const unsigned same = __match_any_sync(every_lane, key);
      const int before = __popc(same & ((1u << lane) - 1));
      if (base + lane < end) place(base + lane, key, key < 0 ? 0 : counts[key] + before);
      __syncwarp();
      if (key >= 0 && before == 0) counts[key] += __popc(same);
      __syncwarp();
    }
  }
};

/// A key's tokens in all warps' counts, and then where each warp's first one goes.
__device__ int sum_of(const int* counts, int stride, int warps) {
  int sum = 0;
  for (int w = 0; w < warps; ++w) sum += counts[w * stride];
  return sum;
}
__device__ void place_from(int position, int* counts, int stride, int warps) {
  for (int w = 0; w < warps; ++w) {
    const int count = counts[w * stride];
    counts[w * stride] = position;
    position += count;
  }
}

// One block: a counting sort. No result depends on which warp is faster.
template <class Keys>
__global__ void __launch_bounds__(threads)
    sort_kernel(MoeArgs args, SortedPairs sorted, const __grid_constant__ Keys keys,
                int tokens_a_tile) {
  constexpr int most_counts = 8 * most_experts;
  __shared__ int key_of[threads], counts[most_counts];  // [warps][experts]
  const int experts = args.experts, key = threadIdx.x, warp = key / 32;
  const int64_t pairs = args.tokens * args.top_k;
  const int warps =
      static_cast<int>(min((pairs + 31) / 32, int64_t{min(threads / 32, most_counts / experts)}));
  key_of[key] = -1;
  for (int i = threadIdx.x; i < warps * experts; i += threads) counts[i] = 0;
  __syncthreads();
  if (const int expert = keys.expert(key); expert >= 0) key_of[expert] = key;
  __syncthreads();

  const int64_t share = (pairs + 32 * warps - 1) / (32 * warps) * 32;
  const int64_t begin = warp < warps ? min(warp * share, pairs) : pairs;
  const WarpPairs mine{args, key_of, counts + min(warp, warps - 1) * experts, begin,
                       min(begin + share, pairs)};
  mine.count([](int64_t, int, int) {});
  __syncthreads();

  const int tokens = key < experts ? sum_of(counts + key, experts, warps) : 0;
  const bool used = keys.used(key, tokens);
  Counts before, all;
  prefix_sums({used, tokens, (tokens + tokens_a_tile - 1) / tokens_a_tile}, before, all);
  if (used) {
    sorted.used_expert[before.experts] = keys.row(key);
    sorted.used_first[before.experts] = before.pairs;
    sorted.used_tiles[before.experts] = before.tiles;
  }
  if (key == 0) {
    *sorted.used = all.experts;
    sorted.used_first[all.experts] = all.pairs;
    sorted.used_tiles[all.experts] = all.tiles;
  }
  if (key < experts) place_from(before.pairs, counts + key, experts, warps);
  __syncthreads();
  mine.count([&](int64_t pair, int key_of_pair, int position) {
    sorted.position[pair] = key_of_pair < 0 ? -1 : position;
    if (key_of_pair >= 0) sorted.order[position] = static_cast<int32_t>(pair);
  });
}

}  // namespace

void sort_pairs(const MoeArgs& args, const SortedPairs& sorted, int tokens_a_tile,
                const device::Queue& queue) noexcept {
  sort_kernel<<<1, threads, 0, device::stream_of(queue)>>>(
      args, sorted, ByTable{args.table, args.experts}, tokens_a_tile);
}

void sort_pairs(const MoeArgs& args, const ExpertOrder& order, const SortedPairs& sorted,
                int tokens_a_tile, const device::Queue& queue) noexcept {
  sort_kernel<<<1, threads, 0, device::stream_of(queue)>>>(args, sorted, ByOrder{order},
                                                           tokens_a_tile);
}

}  // namespace ktx::ops::cuda
