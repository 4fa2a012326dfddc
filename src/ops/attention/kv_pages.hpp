// A layer's KV cache in pages, and which rows of a batch belong to which sequence.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/graph/kv_row.hpp"
#include "ops/attention/attention.hpp"

namespace ktx::ops {

/// What a batch holds of a sequence: rows [first_row, first_row + rows) of its values are the
/// sequence's tokens at positions [past, past + rows).
struct SequenceRows {
  int64_t first_row = 0, rows = 0, past = 0;
  const int32_t* pages = nullptr;           // [pages_of(past + rows)] those of its tokens
  const AttentionKernel* kernel = nullptr;  // of its phase

  int64_t tokens() const noexcept { return past + rows; }
};

/// One layer's cache in a place: the rows of all pages, of all sequences.
struct KvPages {
  std::byte* data = nullptr;  // page after page
  graph::KvFormat format = graph::KvFormat::f32;
  graph::KvRow row;
  int64_t row_bytes = 0;  // graph::row_bytes(format, row)

  /// Token `i` of a page.
  std::byte* row_of(int32_t page, int64_t i) const noexcept {
    return data + (page * graph::page_tokens + i) * row_bytes;
  }
  std::byte* row_of(const SequenceRows& sequence, int64_t position) const noexcept {
    return row_of(sequence.pages[position / graph::page_tokens], position % graph::page_tokens);
  }
};

/// The largest batch that scratch is for.
struct BatchShape {
  int64_t rows = 0, sequences = 1;
};

/// Stores numbers [number, number + numbers) of a row, rounded to the cache's format. They are all
/// scaled ones, in whole groups, or all exact ones. fp8: what is not finite makes its group NaN.
struct KvWriteArgs {
  const KvPages* cache = nullptr;
  std::byte* row = nullptr;
  int64_t number = 0, numbers = 0;
  const float* from = nullptr;
};
void write_numbers(const KvWriteArgs& args) noexcept;

/// Reads numbers [number, number + numbers) of rows [token, token + tokens) of a page; scaled ones
/// in whole groups.
struct KvReadArgs {
  const KvPages* cache = nullptr;
  const f32::Functions* functions = nullptr;
  int32_t page = 0;
  int64_t token = 0, tokens = 0;
  int64_t number = 0, numbers = 0;
  float* scratch = nullptr;  // [tokens, numbers]
};

/// Rows of floats: an f32 cache's own, or what the scratch holds.
struct FloatRows {
  const float* data = nullptr;
  int64_t stride = 0;  // floats
};
FloatRows read_rows(const KvReadArgs& args) noexcept;

}  // namespace ktx::ops
