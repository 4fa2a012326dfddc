// Grouped-query attention on a GPU: prompts on tiles where there are some for its heads, all else
// by the kernel for any sizes.
#include <algorithm>

#include "ops/arena.hpp"
#include "ops/attention/cuda.hpp"
#include "ops/attention/cuda_attend.hpp"
#include "ops/attention/cuda_cache.hpp"
#include "ops/attention/cuda_prefill.hpp"

namespace ktx::ops::cuda {
namespace {

struct Scratch {
  Scratch(const graph::GqaParams& p, int64_t rows, int64_t tokens, Arena& arena) noexcept
      : queries(arena.take<uint16_t>(rows * p.heads * p.head)),
        cached(arena.take<uint16_t>(tokens * 2 * p.kv_heads * p.head)) {}
  uint16_t* queries;  // [rows, heads, head]
  uint16_t* cached;   // [tokens, 2 * kv_heads, head]
};

void attend_rows(const GqaArgs& args, int64_t begin, int64_t end, const uint16_t* queries,
                 const device::Queue& queue) noexcept {
  const graph::GqaParams& p = *args.params;
  attend({.batch = args.batch,
          .cache = args.cache,
          .row_begin = begin,
          .row_end = end,
          .heads = p.heads,
          .heads_per_kv = p.heads / p.kv_heads,
          .key_dim = p.head,
          .value_dim = p.head,
          .key_step = p.head,
          .value_at = p.kv_heads * p.head,
          .value_step = p.head,
          .scale = p.scale,
          .window = p.window,
          .q = queries + begin * p.heads * p.head,
          .out = args.out + begin * p.heads * p.head},
         queue);
}

void attend_prompt(const GqaArgs& args, const Prompt& prompt, const Scratch& scratch,
                   const device::Queue& queue) noexcept {
  const graph::GqaParams& p = *args.params;
  const int64_t width = int64_t{p.heads} * p.head, kv_width = int64_t{p.kv_heads} * p.head;
  gather({args.batch, args.cache, prompt.sequence, prompt.tokens(), scratch.cached}, queue);
  prefill({.rows = prompt.rows,
           .past = prompt.past,
           .heads = p.heads,
           .heads_per_kv = p.heads / p.kv_heads,
           .head_dim = p.head,
           .scale = p.scale,
           .window = p.window,
           .q = scratch.queries + prompt.first_row * width,
           .q_row = width,
           .q_head = p.head,
           .k = scratch.cached,
           .k_row = 2 * kv_width,
           .k_head = p.head,
           .v = scratch.cached + kv_width,
           .v_row = 2 * kv_width,
           .v_head = p.head,
           .out = args.out + prompt.first_row * width,
           .out_row = width,
           .out_head = p.head},
          queue);
}

}  // namespace

size_t gqa_scratch_bytes(const graph::GqaParams& params, const StepShape& most) noexcept {
  Arena arena;
  Scratch(params, most.rows, most.tokens, arena);
  return arena.used();
}

void gqa(const GqaArgs& args, const device::Queue& queue) noexcept {
  const graph::GqaParams& p = *args.params;
  append(AppendGqaArgs{.batch = args.batch,
                       .cache = args.cache,
                       .rope = args.rope,
                       .kv_heads = p.kv_heads,
                       .head = p.head,
                       .k = args.k,
                       .k_stride = args.k_stride,
                       .v = args.v,
                       .v_stride = args.v_stride},
         queue);
  int64_t tokens = 0;
  for (const Prompt& prompt : args.prompts) tokens = std::max(tokens, prompt.tokens());
  Arena arena(args.scratch);
  const Scratch scratch(p, args.batch.rows, tokens, arena);
  const int64_t width = int64_t{p.heads} * p.head;
  rotate_queries({.batch = args.batch,
                  .rope = args.rope,
                  .row_end = args.batch.rows,
                  .heads = p.heads,
                  .rotate = p.head,
                  .q = {.f32 = args.q},
                  .q_stride = args.q_stride,
                  .rotated_to = scratch.queries,
                  .rotated_row = width,
                  .rotated_head = p.head},
                 queue);
  attend_rows(args, 0, args.decode_rows, scratch.queries, queue);
  for (const Prompt& prompt : args.prompts) {
    if (prefill_fits(p.head, 0)) {
      attend_prompt(args, prompt, scratch, queue);
    } else {
      attend_rows(args, prompt.first_row, prompt.first_row + prompt.rows, scratch.queries, queue);
    }
  }
}

}  // namespace ktx::ops::cuda
