// When a GPU's work has come to a point, on the CPU's clock.
#pragma once

#include <chrono>
#include <memory>

#include "core/device/queue.hpp"

namespace ktx::device {

/// Points in the work of one GPU's queues, numbered in the order in which they were asked for.
class TimeMarks {
 public:
  using Clock = std::chrono::steady_clock;

  virtual ~TimeMarks() = default;
  /// In a queue of the GPU; in one that is being captured every launch of the graph passes it anew.
  /// Returns its number; -1 when the GPU refuses.
  virtual int mark(Queue& queue) noexcept = 0;
  /// Marks from `count` on are given out again.
  virtual void keep(int count) noexcept = 0;
  virtual int count() const noexcept = 0;
  /// Finds out how far the GPU's clock is from the CPU's: they drift apart, so that it is done just
  /// before what is measured. Waits for the queue; throws environment error when it has failed.
  virtual void align() = 0;
  /// By how much a time may be wrong against the CPU's.
  virtual std::chrono::nanoseconds error() const noexcept = 0;
  /// When a mark is passed, or was last: waits for it. Throws environment error.
  virtual Clock::time_point time(int mark) const = 0;
};

/// queue: of a GPU, idle whenever clocks are aligned.
std::unique_ptr<TimeMarks> make_time_marks(Queue& queue);

}  // namespace ktx::device
