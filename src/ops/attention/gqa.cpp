// Grouped-query attention: appends to the caches and chooses the way to compute it.
#include "ops/attention/gqa.hpp"

#include <algorithm>

#include "ops/arena.hpp"
#include "ops/attention/batch_rows.hpp"
#include "ops/attention/gqa_paths.hpp"

namespace ktx::ops {
namespace {

using Way = void (*)(const GqaArgs& args, hw::WorkerPool& pool) noexcept;

Way way_of(const graph::GqaParams& p, const SequenceRows& sequence) noexcept {
  const AttentionTiles* tiles = sequence.kernel->tiles;
  return tiles != nullptr && tiles_are_faster(*tiles, p, sequence.rows) ? gqa_tiled : gqa_split;
}

/// Room for each worker to rotate a token's keys, at the start of the scratch: what attends writes
/// over it.
size_t append_scratch_bytes(const graph::GqaParams& params, int workers) noexcept {
  Arena arena;
  for (int w = 0; w < workers; ++w) arena.take<float>(int64_t(params.kv_heads) * params.head);
  return arena.used();
}

void append(const GqaArgs& args, hw::WorkerPool& pool) noexcept {
  const graph::GqaParams& p = *args.params;
  const int64_t width = int64_t(p.kv_heads) * p.head;
  const size_t own = append_scratch_bytes(p, 1);
  for_each_row(pool, args.sequences, 4 * width,
               [&](const SequenceRows& sequence, int64_t i, int worker) noexcept {
                 const int64_t row = sequence.first_row + i, position = sequence.past + i;
                 auto* k = reinterpret_cast<float*>(args.scratch + size_t(worker) * own);
                 std::copy_n(args.k + row * args.k_stride, width, k);
                 for (int h = 0; h < p.kv_heads; ++h) args.rope->rotate(k + h * p.head, position);
                 std::byte* to = args.cache.row_of(sequence, position);
                 write_numbers({.cache = &args.cache, .row = to, .numbers = width, .from = k});
                 write_numbers({.cache = &args.cache,
                                .row = to,
                                .number = width,
                                .numbers = width,
                                .from = args.v + row * args.v_stride});
               });
}

}  // namespace

size_t gqa_scratch_bytes(std::initializer_list<const AttentionKernel*> kernels,
                         const graph::GqaParams& params, const BatchShape& most,
                         int workers) noexcept {
  size_t bytes = std::max(append_scratch_bytes(params, workers),
                          gqa_split_scratch_bytes(params, most, workers));
  for (const AttentionKernel* kernel : kernels)
    if (kernel->tiles != nullptr)
      bytes = std::max(bytes, gqa_tiled_scratch_bytes(params, most, workers));
  return bytes;
}

void gqa(const GqaArgs& args, hw::WorkerPool& pool) noexcept {
  append(args, pool);
  for_each_way(args, way_of, pool);
}

}  // namespace ktx::ops
