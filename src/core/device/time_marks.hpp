// Timestamps in a GPU's work, on the CPU's clock.
#pragma once

#include <chrono>
#include <memory>

#include "core/device/queue.hpp"

namespace ktx::device {

/// Timestamps in the work of one GPU's queues, numbered in the order of the calls to mark().
class TimeMarks {
 public:
  using Clock = std::chrono::steady_clock;

  virtual ~TimeMarks() = default;
  /// Adds a mark to a queue of the GPU and returns its number; -1 on failure. In a queue that is
  /// being captured, every launch of the graph sets its time anew.
  virtual int mark(Queue& queue) noexcept = 0;
  /// Keeps the first `count` marks and reuses the others.
  virtual void keep(int count) noexcept = 0;
  virtual int count() const noexcept = 0;
  /// Measures the offset between the GPU's clock and the CPU's. They drift apart, so call it just
  /// before a measurement. Waits for the queue; throws environment error when it has failed.
  virtual void align() = 0;
  /// The error bound of time() against the CPU's clock.
  virtual std::chrono::nanoseconds error() const noexcept = 0;
  /// When a mark was last passed; waits for it. Throws environment error.
  virtual Clock::time_point time(int mark) const = 0;
};

/// queue: of a GPU, and idle when align() is called.
std::unique_ptr<TimeMarks> make_time_marks(Queue& queue);

}  // namespace ktx::device
