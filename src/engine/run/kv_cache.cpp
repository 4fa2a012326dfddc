// One block of memory for all layers of a session's cache.
#include "engine/run/kv_cache.hpp"

#include "engine/load/node_memory.hpp"

namespace ktx::engine {

KvCache::KvCache(std::span<const graph::KvRow> rows, int64_t capacity, const hw::Machine& machine)
    : capacity_(capacity) {
  int64_t size = 0;
  for (const auto& row : rows) {
    begin_.push_back(size);
    size += row.numbers() * capacity;
  }
  numbers_ = base::Buffer(static_cast<size_t>(size) * sizeof(float), true);
  interleave(numbers_, machine);
}

}  // namespace ktx::engine
