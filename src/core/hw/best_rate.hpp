// How probes measure: all workers of a pool repeat a piece of work, and the best of a few time
// windows counts.
#pragma once

#include <algorithm>
#include <chrono>
#include <vector>

#include "core/hw/worker_pool.hpp"

namespace ktx::hw {

/// Units per second of all workers together, measured for about `seconds`. piece(worker) does some
/// microseconds of work and returns its units. The best window counts, because other programs can
/// only slow the work down.
template <class Piece>
double best_rate(WorkerPool& pool, double seconds, const Piece& piece) {
  using Clock = std::chrono::steady_clock;
  constexpr int windows = 3;
  const auto window =
      std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds / windows));
  struct alignas(64) Rate {
    double per_second = 0;
  };
  std::vector<Rate> rates(static_cast<size_t>(pool.size()));
  double best = 0;
  for (int i = 0; i < windows; ++i) {
    pool.run([&](int worker) noexcept {
      const auto start = Clock::now();
      auto now = start;
      double done = 0;
      do {
        done += piece(worker);
        now = Clock::now();
      } while (now - start < window);
      rates[static_cast<size_t>(worker)].per_second =
          done / std::chrono::duration<double>(now - start).count();
    });
    double sum = 0;
    for (const auto& rate : rates) sum += rate.per_second;
    best = std::max(best, sum);
  }
  return best;
}

}  // namespace ktx::hw
