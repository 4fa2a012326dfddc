// The ways to compute gqa. Both find the tokens of their sequences already in the cache.
#pragma once

#include "ops/attention/gqa.hpp"

namespace ktx::ops {

/// By the f32 loops, with long caches split into ranges of keys: for few tokens too, of many
/// sequences together.
void gqa_split(const GqaArgs& args, hw::WorkerPool& pool) noexcept;
size_t gqa_split_scratch_bytes(const graph::GqaParams& params, const BatchShape& most,
                               int workers) noexcept;

/// On the kernel's tiles. For many tokens, one sequence after another.
void gqa_tiled(const GqaArgs& args, hw::WorkerPool& pool) noexcept;
size_t gqa_tiled_scratch_bytes(const graph::GqaParams& params, const BatchShape& most,
                               int workers) noexcept;

/// Whether gqa_tiled is to be faster than gqa_split for such a sequence.
bool tiles_are_faster(const AttentionTiles& tiles, const graph::GqaParams& params,
                      int64_t tokens) noexcept;

/// Keys and values of one key head, of some tokens of a page, as floats.
struct HeadReadArgs {
  const GqaArgs* args = nullptr;
  const SequenceRows* sequence = nullptr;
  int64_t kv_head = 0;
  int64_t begin = 0, end = 0;                // positions, of one page
  float *keys = nullptr, *values = nullptr;  // scratch [page_tokens, head] each
};
struct HeadRows {
  FloatRows keys, values;
};
inline HeadRows read_head(const HeadReadArgs& head) noexcept {
  const graph::GqaParams& p = *head.args->params;
  KvReadArgs read{.cache = &head.args->cache,
                  .functions = head.sequence->kernel->functions,
                  .page = head.sequence->pages[head.begin / graph::page_tokens],
                  .token = head.begin % graph::page_tokens,
                  .tokens = head.end - head.begin,
                  .number = head.kv_head * p.head,
                  .numbers = p.head,
                  .scratch = head.keys};
  const FloatRows keys = read_rows(read);
  read.number += int64_t(p.kv_heads) * p.head;
  read.scratch = head.values;
  return {keys, read_rows(read)};
}

}  // namespace ktx::ops
