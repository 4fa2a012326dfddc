// CPU affinity of threads, by Linux's sched_setaffinity.
#include "core/hw/affinity.hpp"

#include <thread>

namespace ktx::hw {

namespace {

void add(cpu_set_t& set, int cpu) noexcept {
  if (cpu >= 0 && cpu < CPU_SETSIZE) CPU_SET(static_cast<unsigned>(cpu), &set);
}

bool move_this_thread(const cpu_set_t& set) noexcept {
  return CPU_COUNT(&set) > 0 && ::sched_setaffinity(0, sizeof set, &set) == 0;
}

}  // namespace

int available_cpus() noexcept {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (::sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
  return static_cast<int>(std::thread::hardware_concurrency());  // more CPUs than a cpu_set_t holds
}

void pin_this_thread(int cpu) noexcept {
  cpu_set_t set;
  CPU_ZERO(&set);
  add(set, cpu);
  move_this_thread(set);
}

CpuGuard::CpuGuard(std::span<const int> cpus) noexcept {
  cpu_set_t before, set;
  CPU_ZERO(&set);
  for (const int cpu : cpus) add(set, cpu);
  if (cpus.empty() || ::sched_getaffinity(0, sizeof before, &before) != 0) return;
  if (move_this_thread(set)) before_ = before;
}

CpuGuard::~CpuGuard() {
  if (before_) move_this_thread(*before_);
}

}  // namespace ktx::hw
