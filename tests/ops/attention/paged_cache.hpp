// A KV cache in pages out of order, and sequences in it, for the tests of mla and gqa.
#pragma once

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

#include "core/base/buffer.hpp"
#include "core/hw/worker_pool.hpp"
#include "ops/attention/kv_pages.hpp"
#include "ops/ops_numbers.hpp"

namespace ktx::test {

/// Pages of a cache, all their numbers NaN, in a random order.
struct PagedCache {
  PagedCache(graph::KvFormat format, const graph::KvRow& row, int64_t pages)
      : bytes(size_t(pages * graph::page_tokens * graph::row_bytes(format, row))),
        cache{bytes.data(), format, row, graph::row_bytes(format, row)},
        order(size_t(pages)) {
    std::fill_n(bytes.data(), bytes.size(), std::byte{0xff});
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), std::mt19937(7));
  }
  /// The same numbers in memory of its own.
  PagedCache(const PagedCache& other)
      : bytes(other.bytes.size()), cache(other.cache), order(other.order) {
    std::memcpy(bytes.data(), other.bytes.data(), bytes.size());
    cache.data = bytes.data();
  }

  /// Random numbers for the tokens of a sequence at positions [0, past).
  void fill_past(const ops::SequenceRows& sequence, uint32_t seed) {
    const auto numbers = random_floats(sequence.past * cache.row.numbers(), seed);
    const int64_t scaled = cache.row.scaled;
    for (int64_t i = 0; i < sequence.past; ++i) {
      const float* from = numbers.data() + i * cache.row.numbers();
      std::byte* row = cache.row_of(sequence, i);
      ops::write_numbers({&cache, row, 0, scaled, from});
      ops::write_numbers({&cache, row, scaled, cache.row.exact, from + scaled});
    }
  }

  base::Buffer bytes;
  ops::KvPages cache;
  std::vector<int32_t> order;
};

/// Sequences whose rows follow each other in a batch, each with pages of its own.
struct Batch {
  struct Part {
    int64_t rows, past;
    const ops::AttentionKernel* kernel;
  };
  Batch(graph::KvFormat format, const graph::KvRow& row, const std::vector<Part>& parts)
      : pages(format, row, pages_of(parts)) {
    const int32_t* next = pages.order.data();
    for (const Part& part : parts) {
      sequences.push_back({rows, part.rows, part.past, next, part.kernel});
      rows += part.rows;
      next += graph::pages_of(part.rows + part.past);
    }
    for (size_t i = 0; i < sequences.size(); ++i) pages.fill_past(sequences[i], uint32_t(i));
  }
  static int64_t pages_of(const std::vector<Part>& parts) {
    int64_t count = 0;
    for (const Part& part : parts) count += graph::pages_of(part.rows + part.past);
    return count;
  }

  PagedCache pages;
  std::vector<ops::SequenceRows> sequences;
  int64_t rows = 0;
};

constexpr graph::KvFormat cache_formats[] = {graph::KvFormat::f32, graph::KvFormat::bf16,
                                             graph::KvFormat::fp8};

/// A pool kept for all tests: what thousands of batches run on.
inline hw::WorkerPool& pool_of(int threads) {
  static std::map<int, std::unique_ptr<hw::WorkerPool>> pools;
  auto& pool = pools[threads];
  if (!pool) pool = std::make_unique<hw::WorkerPool>(threads);
  return *pool;
}

/// A sequence's part of a batch's output.
inline std::vector<float> rows_of(const std::vector<float>& out, const ops::SequenceRows& sequence,
                                  int64_t width) {
  const auto begin = out.begin() + sequence.first_row * width;
  return {begin, begin + sequence.rows * width};
}

}  // namespace ktx::test
