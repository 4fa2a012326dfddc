// What one step computes: rows of tokens that belong to sequences in either phase.
#pragma once

#include <cstdint>
#include <vector>

namespace ktx::engine {

/// Whether a sequence reads its prompt or writes its answer. The scheduler says so: a module may be
/// placed or computed differently in the two phases.
enum class Phase : uint8_t { prefill, decode };

/// What a batch holds of a sequence: rows [first_row, first_row + rows) are its tokens at positions
/// [past, past + rows). Decode has 1 row, or the last of a prompt: up to ops::decode_tokens.
struct Sequence {
  int64_t id = 0;  // of the request
  Phase phase = Phase::prefill;
  int64_t first_row = 0, rows = 0, past = 0;
  const int32_t* pages = nullptr;  // [pages_of(past + rows)] of the KV store
  int experts_per_token = 0;       // 0: the number that each layer has by default
};

/// Immutable while a step runs.
struct Batch {
  std::vector<int32_t> ids;         // [rows] tokens
  std::vector<Sequence> sequences;  // by first_row; together they hold all rows
  std::vector<int32_t> logit_rows;  // the rows whose logits are asked for, ascending
  /// Decode kernels for every row, however many there are: then no row's numbers depend on the
  /// others.
  bool decode_kernels = false;
  int workers = 0;  // of the CPU that take part; 0: all

  int64_t rows() const noexcept { return static_cast<int64_t>(ids.size()); }
};

}  // namespace ktx::engine
