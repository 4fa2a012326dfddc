// Which CPUs a thread runs on.
#pragma once

#include <sched.h>

#include <optional>
#include <span>

namespace ktx::hw {

/// CPUs that the calling thread may run on.
int available_cpus() noexcept;

/// Numbers that are no CPU of this box change nothing.
void pin_this_thread(int cpu) noexcept;

/// Keeps the thread that made it on the given CPUs for as long as it lives, then lets it go where
/// it could go before. With no CPU of this box it does nothing.
class CpuGuard {
 public:
  explicit CpuGuard(std::span<const int> cpus) noexcept;
  ~CpuGuard();
  CpuGuard(const CpuGuard&) = delete;
  CpuGuard& operator=(const CpuGuard&) = delete;

 private:
  std::optional<cpu_set_t> before_;
};

}  // namespace ktx::hw
