// On which CPUs threads run: the order in which they take them, and pinning the calling one.
#pragma once

#include <sched.h>

#include <vector>

#include "core/hw/machine.hpp"

namespace ktx::hw {

/// The CPUs in the order in which threads take them: first hardware threads first, nodes in turn.
std::vector<int> spread_cpus(const Machine& machine);

/// Keeps the calling thread, a worker pool's worker 0, on one CPU for as long as this lives. Not
/// pinning (the CPU is gone, the system refuses) only costs speed, so it is no error.
class PinnedThread {
 public:
  explicit PinnedThread(int cpu) noexcept;
  ~PinnedThread();
  PinnedThread(const PinnedThread&) = delete;
  PinnedThread& operator=(const PinnedThread&) = delete;

 private:
  cpu_set_t before_;
  bool pinned_ = false;
};

}  // namespace ktx::hw
