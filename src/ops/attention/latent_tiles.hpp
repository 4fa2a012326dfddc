// Queries of many heads over the rows of a cache that they share, on tiles: keys are whole rows,
// values their first numbers.
#pragma once

#include "ops/arena.hpp"
#include "ops/attention/attend.hpp"
#include "ops/attention/attention_tiles.hpp"
#include "ops/attention/kv_pages.hpp"

namespace ktx::ops {

struct LatentShape {
  int64_t key_dim = 0, value_dim = 0;

  int64_t key_steps() const noexcept { return squares_of(key_dim); }
  int64_t value_panels() const noexcept { return squares_of(value_dim); }
  /// Numbers of a query, whole squares.
  int64_t query_numbers() const noexcept { return key_steps() * square_side; }
  /// Numbers from a sum of values to the next: whole squares and a cache line, so that the rows of
  /// a tile lie in different sets of the first-level cache.
  int64_t sum_numbers() const noexcept { return value_panels() * square_side + 16; }
};

/// What a worker needs, for up to query_block queries.
struct LatentBuffers {
  LatentBuffers(Arena& arena, const LatentShape& shape) noexcept;

  uint8_t* queries;  // right panels
  uint8_t* keys;     // left panels of keys that can't be read where they lie
  uint8_t* values;   // right panels
  float* page;       // [page_tokens, key_dim]
  float* scores;
};

struct LatentTask {
  const KvPages* cache = nullptr;
  const SequenceRows* sequence = nullptr;  // its kernel has tiles
  LatentShape shape;
  LatentBuffers buffers;
  const std::byte* q = nullptr;  // [rows, query_numbers()] bf16, scaled for powers of 2
  int64_t rows = 0;              // at most query_block
  int64_t first_row = 0, rows_per_token = 1, past = 0;  // see AttendArgs
  KeyRange keys;                                        // from the first of a page on
  AttendState state;  // of whole panels of rows; its stride is sum_numbers()
};

/// Makes the state of all that the rows see in the task's keys.
void attend_latents(const LatentTask& task) noexcept;

}  // namespace ktx::ops
