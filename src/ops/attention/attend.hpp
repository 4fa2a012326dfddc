// The common core of mla and gqa: rows of queries over a range of keys, softmax on the way.
//
// A row is one head of one token. Its state (the largest score so far, the sum of exp(score -
// largest) and the values weighted by it) grows key block by key block (Milakov and Gimelshein,
// arXiv 1805.02867), so ranges of keys can be taken in turn, or apart and merged.
#pragma once

#include <cstdint>

#include "core/graph/kv_row.hpp"
#include "ops/f32/functions.hpp"

namespace ktx::ops {

constexpr int64_t key_block = graph::page_tokens;  // keys scored at a time
constexpr int64_t query_block = 64;                // most rows of one call

/// Positions [begin, end).
struct KeyRange {
  int64_t begin = 0, end = 0;
};

/// What a token at `position` sees: itself and all before it, or with a window the window - 1
/// before it.
constexpr KeyRange seen_from(int64_t position, int64_t window) noexcept {
  const int64_t end = position + 1;
  return {window > 0 && window < end ? end - window : 0, end};
}

/// State of rows. sum == 0: has seen no key, and its values are undefined.
struct AttendState {
  float* max = nullptr;     // [rows]
  float* sum = nullptr;     // [rows]
  float* values = nullptr;  // [rows, value_dim], to be divided by sum
  int64_t stride = 0;       // floats, of values
};

struct AttendArgs {
  const f32::Functions* functions = nullptr;
  const float* q = nullptr;  // [rows, key_dim], rotated
  int64_t q_stride = 0;
  int64_t rows = 0;            // at most query_block
  int64_t first_row = 0;       // number of the first row within the step
  int64_t rows_per_token = 1;  // row r of the step is at position past + r / rows_per_token
  int64_t past = 0;
  int64_t window = 0;           // positions a row sees, its own included; 0: all up to its own
  const float* keys = nullptr;  // of position key_begin on, [key_end - key_begin, key_dim]
  int64_t key_stride = 0;
  const float* values = nullptr;  // of position key_begin on, [key_end - key_begin, value_dim]
  int64_t value_stride = 0;
  int64_t key_begin = 0, key_end = 0;  // positions
  int64_t key_dim = 0, value_dim = 0;
  float scale = 1;          // of q.k
  float* scores = nullptr;  // scratch [query_block, key_block]
  AttendState state;
};

/// Makes the state that of no key seen.
void clear(const AttendState& state, int64_t rows) noexcept;

/// Adds to the state what the rows see in [key_begin, key_end).
void attend(const AttendArgs& args) noexcept;

/// Into how many key ranges a step's attention is split, so that few rows over many keys still make
/// work for many threads. A function of the shapes alone: results do not depend on the thread
/// count. least_keys: of a range.
int64_t key_splits(int64_t row_blocks, int64_t keys, int64_t least_keys = 2 * key_block) noexcept;

/// The most row blocks times splits that key_splits makes when it splits at all.
constexpr int64_t most_split_blocks = 64;

/// Writes the attention of one row, from its `parts` states apart at part_stride rows from each
/// other.
struct MergeArgs {
  const f32::Functions* functions = nullptr;
  AttendState state;
  int64_t row = 0;
  int64_t parts = 1;        // at most most_split_blocks
  int64_t part_stride = 0;  // rows
  int64_t value_dim = 0;
  float* out = nullptr;  // [value_dim]
};
void merge(const MergeArgs& args) noexcept;

}  // namespace ktx::ops
