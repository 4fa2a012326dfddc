// CPU order and pinning through the Linux scheduler.
#include "core/hw/affinity.hpp"

namespace ktx::hw {

std::vector<int> spread_cpus(const Machine& machine) {
  std::vector<int> cpus;
  for (size_t i = 0, added = 1; added > 0; ++i) {
    added = 0;
    for (const auto& node : machine.nodes)
      if (i < node.cpus.size()) {
        cpus.push_back(node.cpus[i]);
        ++added;
      }
  }
  return cpus;
}

PinnedThread::PinnedThread(int cpu) noexcept {
  CPU_ZERO(&before_);
  if (cpu < 0 || cpu >= CPU_SETSIZE || ::sched_getaffinity(0, sizeof before_, &before_) != 0)
    return;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(static_cast<unsigned>(cpu), &one);
  pinned_ = ::sched_setaffinity(0, sizeof one, &one) == 0;
}

PinnedThread::~PinnedThread() {
  if (pinned_) ::sched_setaffinity(0, sizeof before_, &before_);
}

}  // namespace ktx::hw
