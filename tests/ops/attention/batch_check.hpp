// Attention over a batch against the formula, for the tests of gqa and mla.
#pragma once

#include <span>
#include <vector>

#include "catch.hpp"
#include "ops/attention/attention_kernels.hpp"
#include "ops/attention/paged_cache.hpp"
#include "ops/ops_numbers.hpp"

namespace ktx::test {

/// Outputs of a batch's rows, its cache left as it was. An Op has width() of a row, args(), which
/// write to a cache and an output, scratch_bytes(), and run() and ref() on such args.
template <class Op>
std::vector<float> run_batch(const Op& op, const Batch& batch,
                             std::span<const ops::SequenceRows> sequences, int threads) {
  PagedCache pages = batch.pages;
  int64_t rows = 0;
  for (const auto& sequence : sequences) rows += sequence.rows;
  GuardedScratch scratch(op.scratch_bytes({sequences.front().kernel, sequences.back().kernel},
                                          {.rows = rows, .sequences = int64_t(sequences.size())},
                                          threads));
  std::vector<float> out(size_t(batch.rows * op.width()));
  auto args = op.args(pages.cache, out.data());
  args.sequences = sequences;
  args.scratch = scratch.data();
  Op::run(args, pool_of(threads));
  REQUIRE(scratch.intact());
  return out;
}

/// The same by the formula.
template <class Op>
std::vector<float> run_batch_ref(const Op& op, const Batch& batch) {
  PagedCache pages = batch.pages;
  std::vector<float> out(size_t(batch.rows * op.width()));
  auto args = op.args(pages.cache, out.data());
  args.sequences = batch.sequences;
  Op::ref(args);
  return out;
}

/// Every sequence against the formula on the same cache, and bit for bit against itself alone.
template <class Op>
void check_batch(const Op& op, const Batch& batch) {
  const auto expected = run_batch_ref(op, batch);
  const auto out = run_batch(op, batch, batch.sequences, 3);
  REQUIRE(run_batch(op, batch, batch.sequences, 1) == out);
  for (const ops::SequenceRows& sequence : batch.sequences) {
    INFO(sequence.kernel->name << ", " << sequence.rows << " rows at " << sequence.past);
    const auto own = rows_of(out, sequence, op.width());
    REQUIRE(relative_distance(own, rows_of(expected, sequence, op.width())) <
            bound_of(*sequence.kernel));
    REQUIRE(rows_of(run_batch(op, batch, {&sequence, 1}, 1), sequence, op.width()) == own);
  }
}

}  // namespace ktx::test
