// How many CPU workers decode fastest: more than the memory can feed, or than a virtual machine is
// given at once, wait for each other.
#pragma once

#include <functional>
#include <span>
#include <vector>

#include "core/hw/worker_pool.hpp"
#include "engine/run/kv_store.hpp"
#include "engine/run/programs.hpp"
#include "engine/run/recording.hpp"
#include "engine/run/workspace.hpp"
#include "ktx/engine.hpp"

namespace ktx::engine {

/// The numbers worth trying of at most so many threads, largest first: all, all but one, and
/// eighths down to a quarter.
std::vector<int> thread_counts(int most);

/// The best time of each number, measured in rounds so that all see the same of what else the
/// machine does; what is far behind after a round is not tried again. seconds_of(threads) runs
/// steps.
std::vector<ThreadsTrial> try_threads(int most, const std::function<double(int)>& seconds_of);

/// The fewest threads that are as fast as the fastest, but for what measuring can't tell.
int choose_threads(std::span<const ThreadsTrial> trials);

/// What a trial runs with; its thread is the one of all steps.
struct TrialMeans {
  const Programs& programs;
  KvStore& cache;
  hw::WorkerPool& pool;
  Workspace& workspace;        // of decode steps
  const Recording* recording;  // or null
};

/// Times decode steps of one token. Empty where there is nothing to choose, or a step can't run.
std::vector<ThreadsTrial> measure_decode_threads(const TrialMeans& means);

}  // namespace ktx::engine
