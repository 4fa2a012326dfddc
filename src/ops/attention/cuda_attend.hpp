// Attention over paged caches on a GPU for any sizes and formats: simple, and slower than the
// tiles.
#pragma once

#include "ops/attention/cuda_batch.hpp"

namespace ktx::ops::cuda {

/// Each head of each row attends causally to its sequence. Of a cached row, head h has its key at
/// number h / heads_per_kv * key_step and its value at value_at + h / heads_per_kv * value_step.
struct AttendArgs {
  Batch batch;  // its rows are numbered and their tokens in the cache
  KvPages cache;
  int64_t row_begin = 0, row_end = 0;  // of the batch
  int heads = 0, heads_per_kv = 1;
  int key_dim = 0, value_dim = 0;  // at most 576 and 512
  int key_step = 0, value_at = 0, value_step = 0;
  float scale = 1;              // of q.k
  int window = 0;               // positions a row sees, its own included; 0: all up to its own
  const uint16_t* q = nullptr;  // bf16 [row_end - row_begin, heads, key_dim], rotated
  uint16_t* out = nullptr;      // bf16 [row_end - row_begin, heads, value_dim]
};

void attend(const AttendArgs& args, const device::Queue& queue) noexcept;

}  // namespace ktx::ops::cuda
