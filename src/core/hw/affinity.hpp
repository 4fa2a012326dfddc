// Which CPUs a thread runs on.
#pragma once

#include <sched.h>

#include <optional>
#include <span>

namespace ktx::hw {

/// CPUs that the calling thread may run on.
int available_cpus() noexcept;

/// Does nothing if there is no such CPU.
void pin_this_thread(int cpu) noexcept;

/// Restricts the thread that creates it to the given CPUs until destroyed, then restores its
/// previous affinity. Does nothing if none of the CPUs exist.
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
