// How much work a worker takes at a time: the grain of parallel loops.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/hw/worker_pool.hpp"

namespace ktx::ops {

/// The grain for WorkerPool::parallel_for: as many items as are worth waking another thread for
/// (about 5 microseconds of one core), so that small tasks stay on the caller. cost_of_item:
/// multiply-adds, or bytes divided by 2.
inline int64_t parallel_grain(int64_t cost_of_item) noexcept {
  constexpr int64_t worth_a_thread = 100'000;
  return std::max<int64_t>(1, worth_a_thread / std::max<int64_t>(1, cost_of_item));
}

/// Calls body(i, worker) for every i in [0, count).
template <class Body>
void for_each(hw::WorkerPool& pool, int64_t count, int64_t cost_of_item,
              const Body& body) noexcept {
  pool.parallel_for(count, parallel_grain(cost_of_item),
                    [&](int64_t begin, int64_t end, int worker) noexcept {
                      for (int64_t i = begin; i < end; ++i) body(i, worker);
                    });
}

}  // namespace ktx::ops
