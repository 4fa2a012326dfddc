// The KV cache of one session: per layer, the numbers that attention keeps of every token.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/base/buffer.hpp"
#include "core/graph/kv_row.hpp"
#include "core/hw/machine.hpp"

namespace ktx::engine {

class KvCache {
 public:
  /// rows[i]: what cache i keeps of a token. Memory is touched only as tokens come; on
  /// several NUMA nodes it is interleaved.
  KvCache(std::span<const graph::KvRow> rows, int64_t capacity, const hw::Machine& machine);

  /// Cache i: capacity * width floats. An op lays them out as it likes.
  float* data(int cache) noexcept {
    return numbers_.as<float>() + begin_[static_cast<size_t>(cache)];
  }
  int64_t capacity() const noexcept { return capacity_; }

 private:
  int64_t capacity_;
  std::vector<int64_t> begin_;
  base::Buffer numbers_;
};

}  // namespace ktx::engine
