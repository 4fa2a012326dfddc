// Finds the number of CPU threads that decodes fastest. More threads than the memory can feed, or
// than the hypervisor schedules at once, only wait for each other.
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

/// The numbers of threads worth trying, up to `most`, largest first: all, all but one, and eighths
/// down to a quarter.
std::vector<int> thread_counts(int most);

/// The best time for each number of threads. Measured in rounds, so that other load on the machine
/// affects all of them alike; a number that is far behind after a round is dropped.
/// seconds_of(threads) runs steps.
std::vector<ThreadsTrial> try_threads(int most, const std::function<double(int)>& seconds_of);

/// The fewest threads that are as fast as the fastest, within measurement error.
int choose_threads(std::span<const ThreadsTrial> trials);

/// What a trial runs with, on the scheduler's thread.
struct TrialResources {
  const Programs& programs;
  KvStore& cache;
  hw::WorkerPool& pool;
  Workspace& workspace;        // of decode steps
  const Recording* recording;  // or null
};

/// Times decode steps of one token. Empty if there is nothing to choose, or if a step can't run.
std::vector<ThreadsTrial> measure_decode_threads(const TrialResources& resources);

}  // namespace ktx::engine
