// A thread that sleeps until something is so, and those who wake it, without a lost wake-up.
#pragma once

#include <atomic>
#include <cstdint>

namespace ktx::hw {

/// The sleeper announces that it will sleep and then looks again; whoever makes it so does that
/// first and then looks for the announcement. Sequential consistency of what `is_so` reads and of
/// the announcement makes one of the two see the other.
class Sleeper {
 public:
  /// Returns once is_so() is true; it is asked before each sleep and after each announcement.
  template <class IsSo>
  void sleep_until(const IsSo& is_so) noexcept {
    while (!is_so()) {
      asleep_.store(1, std::memory_order_seq_cst);
      if (is_so()) break;
      asleep_.wait(1, std::memory_order_seq_cst);
    }
    asleep_.store(0, std::memory_order_relaxed);
  }

  /// After what is_so() reads was written. A system call only when the sleeper has announced
  /// itself.
  void wake() noexcept {
    if (asleep_.load(std::memory_order_seq_cst) == 0) return;
    asleep_.store(0, std::memory_order_seq_cst);
    asleep_.notify_one();
  }

 private:
  std::atomic<uint32_t> asleep_{0};  // of the size that std::atomic::wait hands to the futex as is
};

}  // namespace ktx::hw
