// Writing a step's tokens to the cache on a GPU, rotating its queries, and reading a sequence back
// as bf16. Strides in numbers; everything in the GPU's memory.
#pragma once

#include "core/graph/op.hpp"
#include "ops/attention/cuda_batch.hpp"
#include "ops/attention/cuda_heads.hpp"

namespace ktx::ops::cuda {

/// Appends latents, normed, and rope numbers of keys, rotated, in the cache's format.
struct AppendMlaArgs {
  Batch batch;  // its rows are numbered
  KvPages cache;
  Rope rope;
  const float* latent = nullptr;  // [rows, kv_lora]
  int64_t latent_stride = 0;
  const float* norm = nullptr;  // [kv_lora] weight of the norm; null: the latents are normed
  float eps = 1e-6f;
  const float* k_rope = nullptr;  // [rows, rope], not rotated
  int64_t k_rope_stride = 0;
};
void append(const AppendMlaArgs& args, const device::Queue& queue) noexcept;

/// Appends rotated keys and values.
struct AppendGqaArgs {
  Batch batch;
  KvPages cache;
  Rope rope;
  int kv_heads = 0, head = 0;
  const float* k = nullptr;  // [rows, kv_heads * head], not rotated
  int64_t k_stride = 0;
  const float* v = nullptr;  // [rows, kv_heads * head]
  int64_t v_stride = 0;
};
void append(const AppendGqaArgs& args, const device::Queue& queue) noexcept;

/// Queries to bf16: of each head `plain` numbers as they are, to `plain_to`; then `rotate`
/// numbers rotated, to `rotated_to`.
struct QueryArgs {
  Batch batch;
  Rope rope;
  int64_t row_begin = 0, row_end = 0;  // of the batch; what is written begins with row_begin's
  int heads = 0, plain = 0, rotate = 0;
  EitherNumbers q;       // [rows, heads, plain + rotate]
  int64_t q_stride = 0;  // of rows
  uint16_t* plain_to = nullptr;
  int64_t plain_row = 0, plain_head = 0;  // strides
  uint16_t* rotated_to = nullptr;
  int64_t rotated_row = 0, rotated_head = 0;
};
void rotate_queries(const QueryArgs& args, const device::Queue& queue) noexcept;

/// Appends all rows of a batch, and widens the queries of the first few of them to the width of
/// what is cached: of each head k_b times `nope` numbers, then the others rotated. One launch.
struct WidenArgs {
  AppendMlaArgs append;
  int64_t rows = 0;  // at most most_widened_rows
  int heads = 0, nope = 0;
  HeadMatrices k_b;             // [heads, kv_lora, nope]
  EitherNumbers q;              // [rows, heads, nope + rope]
  int64_t q_stride = 0;         // of rows
  uint16_t* queries = nullptr;  // bf16 [rows, heads, kv_lora + rope]; of unused rows zero
};
constexpr int64_t most_widened_rows = 8;
void append_and_widen(const WidenArgs& args, const device::Queue& queue) noexcept;

/// to[t, :] = the cached row of token t of a sequence, as bf16.
struct GatherArgs {
  Batch batch;
  KvPages cache;
  int32_t sequence = 0;
  int64_t tokens = 0;
  uint16_t* to = nullptr;  // [tokens, cache.row.numbers()]
};
void gather(const GatherArgs& args, const device::Queue& queue) noexcept;

}  // namespace ktx::ops::cuda
