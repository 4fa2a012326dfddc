// Queues: a place's work, done in order of submission.
#pragma once

#include <cstddef>
#include <memory>

#include "core/device/place.hpp"
#include "core/hw/worker_pool.hpp"

namespace ktx::device {

/// A point in a queue's work, reused from step to step. An event that was never recorded counts as
/// passed.
class Event {
 public:
  virtual ~Event() = default;
  virtual bool passed() const noexcept = 0;
  /// Blocks until it has been passed, or its queue has failed.
  virtual void synchronize() const noexcept = 0;
};

/// Rows of bytes; strides are in bytes from one row to the next.
struct CopyRows {
  void* to = nullptr;
  size_t to_stride = 0;
  const void* from = nullptr;
  size_t from_stride = 0;
  size_t row_bytes = 0, rows = 0;
};

/// Work submitted to a CPU's queue is done when the call returns: its workers run one command at a
/// time, and the calling thread is one of them. A GPU's queue is a CUDA stream. Submission cannot
/// fail: a failed queue does nothing more, and synchronize() says why.
class Queue {
 public:
  virtual ~Queue() = default;

  virtual Place place() const noexcept = 0;
  /// Of a CPU queue; else null.
  virtual hw::WorkerPool* pool() const noexcept { return nullptr; }

  virtual std::unique_ptr<Event> make_event() const = 0;
  /// event: of this queue.
  virtual void record(Event& event) noexcept = 0;
  /// Work submitted from now on begins after `event`, of any queue, has been passed.
  virtual void wait(const Event& event) noexcept = 0;
  /// A GPU's queue copies between any two places; if CPU memory is involved that is not pinned, the
  /// call blocks. A CPU's queue copies within CPU memory.
  virtual void copy(void* to, const void* from, size_t bytes) noexcept = 0;
  /// The same for rows.
  virtual void copy_rows(const CopyRows& rows) noexcept = 0;
  /// Whether any work so far has failed. Does not wait, and costs about a microsecond. On the
  /// submitting thread it also knows of rejected submissions.
  virtual bool failed() const noexcept = 0;
  /// Waits for all work. Throws environment error when some of it failed.
  virtual void synchronize() = 0;
};

/// pool: for the CPU. Throws environment error when there is no such GPU.
std::unique_ptr<Queue> make_queue(Place place, hw::WorkerPool* pool = nullptr);

}  // namespace ktx::device
