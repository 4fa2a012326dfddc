// Absorbed attention by wgmma, for sm_90.
//
// A block has 64 heads and takes a page, 64 keys, at a time: a cached row is key and value, so a
// tile is read once. The first warpgroup makes scores and weights of a page; the two others add
// what the weights give, each half of the values' numbers, and have the next pages brought. While
// they add one page, the first is at the next.
#include "core/device/cuda.hpp"
#include "ops/attention/cuda_absorbed_pages.cuh"
#include "ops/cuda/launch.cuh"
#include "ops/cuda/wgmma.cuh"

namespace ktx::ops::cuda {
namespace {

using namespace absorbed_pages;

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

constexpr int score_registers = 184, value_registers = 160;  // of 168 each

/// Of the two heads that a lane of the first warpgroup shares with three others.
struct Softmax {
  float max[2] = {lowest_score, lowest_score}, sum[2] = {};
};

__device__ float max_of_four(float x) {
  x = fmaxf(x, __shfl_xor_sync(every_lane, x, 1));
  return fmaxf(x, __shfl_xor_sync(every_lane, x, 2));
}
__device__ float sum_of_four(float x) {
  x += __shfl_xor_sync(every_lane, x, 1);
  return x + __shfl_xor_sync(every_lane, x, 2);
}

/// Scores of a page, of which `left` keys count, to weights; the factors of what was summed before.
__device__ float2 weigh(float (&scores)[keys / 2], Softmax& softmax, float scale, int left) {
  if (left < keys) {
    const int behind = left - static_cast<int>(threadIdx.x % 4) * 2;
#pragma unroll
    for (int i = 0; i < keys / 2; ++i) {
      if (i / 4 * 8 + i % 2 >= behind) scores[i] = lowest_score;
    }
  }
  float max[2][2], factors[2];
#pragma unroll
  for (int i = 0; i < keys / 2; i += 2) {  // two short chains a head
    float& most = max[i / 2 % 2][i / 4 % 2];
    most = i < 8 ? fmaxf(scores[i], scores[i + 1]) : fmaxf(most, fmaxf(scores[i], scores[i + 1]));
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const float most = max_of_four(fmaxf(max[half][0], max[half][1]));
    max[half][0] = fmaxf(softmax.max[half], most * scale);
    factors[half] = fast_exp2(softmax.max[half] - max[half][0]);
    softmax.max[half] = max[half][0];
  }
  float sums[2][2] = {};
#pragma unroll
  for (int i = 0; i < keys / 2; ++i) {
    scores[i] = fast_exp2(scores[i] * scale - softmax.max[i / 2 % 2]);
    sums[i / 2 % 2][i % 2] += scores[i];
  }
#pragma unroll
  for (int half = 0; half < 2; ++half)
    softmax.sum[half] = softmax.sum[half] * factors[half] + (sums[half][0] + sums[half][1]);
  return make_float2(factors[0], factors[1]);
}

/// The first of a lane's two heads; the other is 8 further.
__device__ int head_of_lane() {
  return threadIdx.x % warpgroup / 32 * 16 + threadIdx.x % 32 / 4;
}

__device__ void show_weights(const float (&weights)[keys / 2], float2 factors, uint8_t* to,
                             float* factors_to) {
  const int t = threadIdx.x % 4, head = head_of_lane();
#pragma unroll
  for (int i = 0; i < keys / 2; i += 2) {
    *reinterpret_cast<uint32_t*>(to + chunk_at(head + i / 2 % 2 * 8, i / 4) + 4 * t) =
        bf16_pair(weights[i], weights[i + 1]);
  }
  if (t != 0) return;
  factors_to[head] = factors.x;
  factors_to[head + 8] = factors.y;
}

/// The largest scores and the sums of weights of a piece, for those who have its values.
template <class S>
__device__ void show_softmax(const Softmax& softmax, S& shared) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const float sum = sum_of_four(softmax.sum[half]);
    if (threadIdx.x % 4 != 0) continue;
    shared.maxima[head_of_lane() + 8 * half] = softmax.max[half];
    shared.sums[head_of_lane() + 8 * half] = sum;
  }
}

/// The first part of the warp's 16 heads, as products take it.
constexpr int steps_kept = 4 * first_blocks;
using Queries = uint32_t[steps_kept][4];

__device__ void load_queries(Queries& queries, uint32_t tile) {
  const int lane = threadIdx.x % 32, row = threadIdx.x / 32 * 16 + lane % 16;
#pragma unroll
  for (int i = 0; i < steps_kept; ++i)
    load_matrices(queries[i], tile + chunk_at(row, 2 * i + lane / 16));
}

__device__ void score_page(float (&scores)[keys / 2], const Queries& kept, uint32_t others,
                           const Part& first, const Part& last) {
  const auto step = [](int i) { return i / 4 * (block_bytes / 16) + i % 4 * 2; };
  const uint64_t b = matrix_along(shared_address(first.at));
  await_part(first);
  begin_products();
#pragma unroll
  for (int i = 0; i < steps_kept; ++i) multiply_64x64(scores, kept[i], b + step(i), i > 0);
  const uint64_t a = matrix_along(others), c = matrix_along(shared_address(last.at));
  await_part(last);
  begin_products();
#pragma unroll
  for (int i = 0; i < 4 * last_blocks; ++i) multiply_64x64(scores, a + step(i), c + step(i), 1);
  await_products();
}

/// By the first warp: the next piece. Its pages come from memory meanwhile.
template <bool fp8>
__device__ void take_piece(const AbsorbedWork& work, int group, Shared<fp8>& shared) {
  if (threadIdx.x == 0) shared.piece = next_piece(work, group, shared.todo);
  __syncwarp();
  const int page = static_cast<int>(threadIdx.x);
  if (page < pages_ahead && shared.piece.keys > 0)
    announce_page(work, shared, page, number_of(shared.piece, page));
  __syncwarp();
}

/// By the first warp: has the queries and the first pages of the piece copied. Those that go to
/// registers come where the first part of the last of these pages will be.
template <bool fp8>
__device__ void begin_piece(const AbsorbedWork& work, const CUtensorMap& queries,
                            const CUtensorMap& cache, int first_head, Shared<fp8>& shared,
                            const Progress& at) {
  const int row = shared.piece.row - static_cast<int>(work.args.row_begin);
  const int query = row * work.args.heads + first_head;
  uint64_t* there = &shared.queries_there;
  if constexpr (fp8) {
    if (threadIdx.x == 0) copy_codes(work, shared, 0);
  } else {
    copy_first(cache, shared, 0, at.pages);
  }
  uint8_t* kept = first_part(shared, at.pages + first_stages<fp8> - 1).at;
  copy_blocks<0, first_blocks>(queries, query, kept, there);
  if constexpr (!fp8) copy_last(cache, shared, 0, at.pages);
  copy_blocks<first_blocks, last_blocks>(queries, query, shared.queries, there);
  if constexpr (!fp8) {
    copy_first(cache, shared, 1, at.pages);
    copy_last(cache, shared, 1, at.pages);
  }
}

/// Queries of the piece to registers, and what comes in their place.
template <bool fp8>
__device__ void take_queries(Queries& queries, const CUtensorMap& cache, Shared<fp8>& shared,
                             const Progress& at) {
  constexpr int page = first_stages<fp8> - 1;
  await_phase(shared_address(&shared.queries_there), at.pieces % 2);
  load_queries(queries, shared_address(first_part(shared, at.pages + page).at));
  if constexpr (fp8) {
    signal(queries_taken, threads);
  } else {
    meet(scorers, warpgroup);
    if (threadIdx.x < 32) copy_first(cache, shared, page, at.pages);
  }
}

/// The first warpgroup's part of a piece.
template <bool fp8>
__device__ void score_piece(const AbsorbedWork& work, const CUtensorMap& cache, Shared<fp8>& shared,
                            Progress& at) {
  const int pages = pages_of(shared.piece);
  Queries queries;
  take_queries(queries, cache, shared, at);
  Softmax softmax;
  for (int page = 0; page < pages; ++page, ++at.pages) {
    const Part first = first_part(shared, at.pages), last = last_part(shared, at.pages);
    float scores[keys / 2];
    score_page(scores, queries, shared_address(shared.queries), first, last);
    const int left = shared.piece.keys - page * keys;
    const float2 factors = weigh(scores, softmax, work.scale, left);
    if (page > 0)
      meet(weights_taken, threads);  // the page before is done with
    else
      meet(scorers, warpgroup);  // nobody reads the keys any more
    show_weights(scores, factors, last.at + weights_at, shared.factors);
    if (left < keys) clear_values(first.at, last.at, left);
    show_to_products();
    signal(weights_there, threads);
  }
  ++at.pieces;
  meet(weights_taken, threads);
  show_softmax(softmax, shared);
  signal(sums_there, threads);
}

/// 64 heads, half of the latents.
using Sums = float[mla_latents / 4];

__device__ void add_values(Sums& sums, const float* factors, uint32_t weights, uint32_t values) {
  const float factor[2] = {factors[head_of_lane()], factors[head_of_lane() + 8]};
  if (!__all_sync(every_lane, factor[0] == 1 && factor[1] == 1)) {
#pragma unroll
    for (int i = 0; i < mla_latents / 4; ++i) sums[i] *= factor[i / 2 % 2];
  }
  const uint64_t a = matrix_along(weights), b = matrix_across(values, block_bytes);
  begin_products();
#pragma unroll
  for (int i = 0; i < keys / 16; ++i) multiply_64x256(sums, a + 2 * i, b + 128 * i, 1);
  await_products();
}

template <class S>
__device__ void store_sums(const Sums& sums, const S& shared, const AbsorbedWork& work,
                           const Piece& piece, int first_head, int half) {
#pragma unroll
  for (int below = 0; below < 2; ++below) {
    const int local = head_of_lane() + 8 * below, head = first_head + local;
    uint16_t* to = sums_of(work, piece, head);
    const float sum = shared.sums[local], inverse = 1 / sum;
    if (to != nullptr) to += half * (mla_latents / 2);
#pragma unroll
    for (int i = 2 * below; i < mla_latents / 4; i += 8) {
      const float2 first = make_float2(sums[i] * inverse, sums[i + 1] * inverse);
      const float2 second = make_float2(sums[i + 4] * inverse, sums[i + 5] * inverse);
      store_16(to == nullptr ? to : to + 2 * (i - 2 * below), first, second);
    }
    if (to != nullptr && piece.slot >= 0 && half == 0 && threadIdx.x % 4 == 0)
      work.weights[int64_t{piece.slot} * work.args.heads + head] =
          make_float2(shared.maxima[local], sum);
  }
}

/// Codes of page `page` of the piece to the tile of the block's page `number`; then the next codes.
__device__ void bring_page(const AbsorbedWork& work, Shared<true>& shared, int page, int number) {
  const Part first = first_part(shared, number), last = last_part(shared, number);
  await_phase(shared_address(&shared.codes_there), number % 2);
  decode_page(shared.codes, first.at, last.at);
  show_to_products();
  arrive_at(shared_address(first.there));
  arrive_at(shared_address(last.there));
  meet(adders, threads - warpgroup);
  if (threadIdx.x == warpgroup) copy_codes(work, shared, page + 1);
}

/// After a page: what takes its place.
template <bool fp8>
__device__ void replace_page(const AbsorbedWork& work, const CUtensorMap& cache,
                             Shared<fp8>& shared, int page, int first, int32_t& next) {
  meet(adders, threads - warpgroup);  // both halves of the tile are done with
  if constexpr (fp8) {
    if (page + last_stages < pages_of(shared.piece))
      bring_page(work, shared, page + last_stages, first + page + last_stages);
  } else if (threadIdx.x >= 2 * warpgroup && threadIdx.x < 2 * warpgroup + 32) {
    copy_last(cache, shared, page + last_stages, first);
  }
  if (threadIdx.x >= warpgroup + 32) return;
  if constexpr (!fp8) copy_first(cache, shared, page + first_stages<fp8>, first);
  __syncwarp();
  if (threadIdx.x == warpgroup) announce_page(work, shared, page + pages_ahead, next);
  __syncwarp();
  next = number_of(shared.piece, page + 1 + pages_ahead);  // is there by the next round
}

/// The others' part.
template <bool fp8>
__device__ void add_piece(const AbsorbedWork& work, const CUtensorMap& cache, int first_head,
                          Shared<fp8>& shared, Progress& at) {
  const Piece piece = shared.piece;
  const int half = threadIdx.x / warpgroup - 1, pages = pages_of(piece), first = at.pages;
  int32_t next = number_of(piece, pages_ahead);
  if constexpr (fp8) {
    bring_page(work, shared, 0, first);
    meet(queries_taken, threads);  // whose place is the next page's
    if (pages > 1) bring_page(work, shared, 1, first + 1);
  }
  Sums sums = {};
  for (int page = 0; page < pages; ++page, ++at.pages) {
    meet(weights_there, threads);
    const Part last = last_part(shared, at.pages);
    const Part values = half == 0 ? first_part(shared, at.pages) : last;
    await_part(values);
    add_values(sums, shared.factors, shared_address(last.at + weights_at),
               shared_address(values.at));
    signal(weights_taken, threads);
    if (page + 1 < pages) replace_page(work, cache, shared, page, first, next);
  }
  meet(sums_there, threads);
  store_sums(sums, shared, work, piece, first_head, half);
}

template <bool fp8>
__device__ void prepare(Shared<fp8>& shared, const Todo& todo) {
  make_barrier(shared_address(&shared.queries_there), 2);  // the queries' parts
  make_barrier(shared_address(&shared.codes_there), 1);
  constexpr int arrivals = fp8 ? threads - warpgroup : 1;
  for (uint64_t& there : shared.first_there) make_barrier(shared_address(&there), arrivals);
  for (uint64_t& there : shared.last_there) make_barrier(shared_address(&there), arrivals);
  show_barriers();
  shared.todo = todo;
}

template <bool fp8>
__global__ void __launch_bounds__(threads, 1)
    absorbed_wgmma_kernel(const __grid_constant__ AbsorbedWork work,
                          const __grid_constant__ CUtensorMap queries,
                          const __grid_constant__ CUtensorMap cache) {
  extern __shared__ uint8_t bytes[];
  const uint32_t offset = (alignment - shared_address(bytes) % alignment) % alignment;
  auto& shared = *reinterpret_cast<Shared<fp8>*>(bytes + offset);
  const int head_blocks = (work.args.heads + heads - 1) / heads;
  const int group = blockIdx.x / head_blocks, first_head = blockIdx.x % head_blocks * heads;
  const Todo todo = todo_of(work, group);
  const bool first_warp = threadIdx.x < 32;
  if (threadIdx.x == 0) prepare(shared, todo);
  if (first_warp) take_piece(work, group, shared);
  __syncthreads();
  await_previous();
  Progress at;
  if (threadIdx.x < warpgroup) {
    take_registers<score_registers>();
    for (; shared.piece.keys > 0; meet(scorers, warpgroup)) {
      if (first_warp) begin_piece(work, queries, cache, first_head, shared, at);
      signal(piece_there, threads);
      score_piece(work, cache, shared, at);
      if (first_warp) take_piece(work, group, shared);
    }
    signal(piece_there, threads);  // or rather not
  } else {
    leave_registers<value_registers>();
    for (meet(piece_there, threads); shared.piece.keys > 0; meet(piece_there, threads))
      add_piece(work, cache, first_head, shared, at);
  }
}

#else

template <bool fp8>
__global__ void absorbed_wgmma_kernel(const __grid_constant__ AbsorbedWork,
                                      const __grid_constant__ CUtensorMap,
                                      const __grid_constant__ CUtensorMap) {}  // is not run

#endif

std::string refusal(const device::GpuLimits& limits) {
  if (!built_for_wgmma()) return "was built without code for compute capability 9.0";
  return limits.capability == 90 ? "" : "needs a GPU of compute capability 9.0";
}

template <bool fp8>
void run(const AbsorbedWork& work, const device::Queue& queue) noexcept {
  constexpr int bytes = alignment + sizeof(Shared<fp8>);
  constexpr int64_t any_rows = int64_t{1} << 31;  // pages may lie anywhere
  const auto kernel = absorbed_wgmma_kernel<fp8>;
  cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes);
  const AbsorbedArgs& args = work.args;
  const auto map = [](const void* data, int64_t rows) {
    return device::tensor_map({.data = static_cast<const uint16_t*>(data),
                               .rows = rows,
                               .row_stride = mla_row,
                               .columns = mla_row},
                              keys);
  };
  const int head_blocks = (args.heads + heads - 1) / heads;
  launch(kernel,
         {static_cast<unsigned>(work.groups * head_blocks), threads, static_cast<size_t>(bytes)},
         queue, work, map(args.q, (args.row_end - args.row_begin) * args.heads),
         fp8 ? CUtensorMap{} : map(args.cache.data, any_rows));
}

void run_format(const AbsorbedWork& work, const device::Queue& queue) noexcept {
  if (work.args.cache.format == graph::KvFormat::fp8)
    run<true>(work, queue);
  else
    run<false>(work, queue);
}

}  // namespace

const AbsorbedKernel absorbed_wgmma{"wgmma", heads, refusal, run_format};

}  // namespace ktx::ops::cuda
