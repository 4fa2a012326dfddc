// Going over the rows of a batch, of all its sequences.
#pragma once

#include <span>

#include "ops/attention/kv_pages.hpp"
#include "ops/parallel.hpp"

namespace ktx::ops {

/// body(sequence, i, worker) for every row i of every sequence.
template <class Body>
void for_each_row(hw::WorkerPool& pool, std::span<const SequenceRows> sequences,
                  int64_t cost_of_row, const Body& body) noexcept {
  int64_t rows = 0;
  for (const SequenceRows& sequence : sequences) rows += sequence.rows;
  for_each(pool, rows, cost_of_row, [&](int64_t row, int worker) noexcept {
    const SequenceRows* sequence = sequences.data();
    for (; row >= sequence->rows; ++sequence) row -= sequence->rows;
    body(*sequence, row, worker);
  });
}

/// Calls what way_of(params, sequence) says, (args, pool), for all sequences: once for neighbours
/// of the same way.
template <class Args, class WayOf>
void for_each_way(const Args& args, const WayOf& way_of, hw::WorkerPool& pool) noexcept {
  const auto all = args.sequences;
  for (size_t begin = 0, end = 0; begin < all.size(); begin = end) {
    const auto way = way_of(*args.params, all[begin]);
    while (end < all.size() && way_of(*args.params, all[end]) == way) ++end;
    Args alike = args;
    alike.sequences = all.subspan(begin, end - begin);
    way(alike, pool);
  }
}

}  // namespace ktx::ops
