// Grouped-query attention: appends to the caches and chooses the way to compute it.
#include "ops/attention/gqa.hpp"

#include <algorithm>

#include "ops/attention/gqa_paths.hpp"
#include "ops/parallel.hpp"

namespace ktx::ops {
namespace {

void append(const GqaArgs& args, int64_t token) noexcept {
  const graph::GqaParams& p = *args.params;
  const int64_t width = int64_t(p.kv_heads) * p.head;
  const int64_t position = args.past + token;
  float* k = args.k_cache + position * width;
  std::copy_n(args.k + token * args.k_stride, width, k);
  std::copy_n(args.v + token * args.v_stride, width, args.v_cache + position * width);
  for (int h = 0; h < p.kv_heads; ++h) args.rope->rotate(k + h * p.head, position);
}

}  // namespace

size_t gqa_scratch_bytes(const AttentionKernel& kernel, const graph::GqaParams& params,
                         int64_t max_tokens, int workers) noexcept {
  const size_t split = gqa_split_scratch_bytes(params, workers);
  if (kernel.tiles == nullptr) return split;
  return std::max(split, gqa_tiled_scratch_bytes(params, max_tokens, workers));
}

void gqa(const GqaArgs& args, hw::WorkerPool& pool) noexcept {
  const graph::GqaParams& p = *args.params;
  for_each(pool, args.tokens, 4 * p.kv_heads * p.head,
           [&](int64_t t, int) noexcept { append(args, t); });
  if (args.kernel->tiles != nullptr && tiles_are_faster(p, args.tokens)) {
    gqa_tiled(args, pool);
  } else {
    gqa_split(args, pool);
  }
}

}  // namespace ktx::ops
