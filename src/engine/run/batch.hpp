// What one step computes: rows of tokens of several sequences, each in prefill or decode.
#pragma once

#include <cstdint>
#include <vector>

namespace ktx::engine {

/// Whether a sequence processes its prompt or generates. The scheduler decides; a module may be
/// placed and computed differently in the two phases.
enum class Phase : uint8_t { prefill, decode };

/// A sequence's part of a batch: rows [first_row, first_row + rows) are its tokens at positions
/// [past, past + rows). In a decode step it has 1 row, or the last rows of a prompt, up to
/// ops::decode_tokens.
struct Sequence {
  int64_t id = 0;  // of the request
  Phase phase = Phase::prefill;
  int64_t first_row = 0, rows = 0, past = 0;
  const int32_t* pages = nullptr;  // [pages_of(past + rows)] of the KV store
  int experts_per_token = 0;       // 0: each layer's default
};

/// Immutable while a step runs.
struct Batch {
  std::vector<int32_t> ids;         // [rows] token ids
  std::vector<Sequence> sequences;  // in order of first_row; together they have all rows
  std::vector<int32_t> logit_rows;  // rows whose logits are wanted, ascending
  /// Use decode kernels whatever the number of rows, so that no row's numbers depend on other rows.
  bool decode_kernels = false;
  int workers = 0;  // CPU threads that take part; 0: all

  int64_t rows() const noexcept { return static_cast<int64_t>(ids.size()); }
};

}  // namespace ktx::engine
