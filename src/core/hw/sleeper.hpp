// A wait for a condition without lost wake-ups: one thread sleeps, others wake it.
#pragma once

#include <atomic>
#include <cstdint>

namespace ktx::hw {

/// The sleeper announces that it will sleep and then checks the condition again; a waker first
/// makes the condition true and then checks for the announcement. Both are sequentially consistent,
/// so that at least one of the two sees the other.
class Sleeper {
 public:
  /// Returns once is_so() is true; it is checked before each sleep and after each announcement.
  template <class IsSo>
  void sleep_until(const IsSo& is_so) noexcept {
    while (!is_so()) {
      asleep_.store(1, std::memory_order_seq_cst);
      if (is_so()) break;
      asleep_.wait(1, std::memory_order_seq_cst);
    }
    asleep_.store(0, std::memory_order_relaxed);
  }

  /// To be called after is_so() became true. Makes a system call only if the sleeper has announced
  /// itself.
  void wake() noexcept {
    if (asleep_.load(std::memory_order_seq_cst) == 0) return;
    asleep_.store(0, std::memory_order_seq_cst);
    asleep_.notify_one();
  }

 private:
  std::atomic<uint32_t> asleep_{0};  // 32 bits, so that std::atomic::wait maps directly to a futex
};

}  // namespace ktx::hw
