// Work of a place in the order of its submission.
#pragma once

#include <cstddef>
#include <memory>

#include "core/device/place.hpp"
#include "core/hw/worker_pool.hpp"

namespace ktx::device {

/// A point in a queue's work, reused from step to step. Before it is recorded it is passed.
class Event {
 public:
  virtual ~Event() = default;
  virtual bool passed() const noexcept = 0;
  /// The caller waits until it has been passed, or its queue has failed.
  virtual void synchronize() const noexcept = 0;
};

/// Rows of bytes; strides are from the beginning of one to that of the next.
struct CopyRows {
  void* to = nullptr;
  size_t to_stride = 0;
  const void* from = nullptr;
  size_t from_stride = 0;
  size_t row_bytes = 0, rows = 0;
};

/// What is submitted to a CPU's queue has been done when the call returns: its workers are busy
/// with one command at a time, and the calling thread is one of them. A GPU's queue is a stream.
/// Submission cannot fail: a queue that fails does nothing more, and synchronize() says why.
class Queue {
 public:
  virtual ~Queue() = default;

  virtual Place place() const noexcept = 0;
  /// Of a queue of the CPU, else null.
  virtual hw::WorkerPool* pool() const noexcept { return nullptr; }

  virtual std::unique_ptr<Event> make_event() const = 0;
  /// event: of this queue.
  virtual void record(Event& event) noexcept = 0;
  /// What is submitted from now on begins after event, of any queue, has been passed.
  virtual void wait(const Event& event) noexcept = 0;
  /// A GPU's queue copies between any two places, and makes the caller wait where memory of the CPU
  /// is not pinned; one of the CPU within the CPU's memory.
  virtual void copy(void* to, const void* from, size_t bytes) noexcept = 0;
  /// The same of rows.
  virtual void copy_rows(const CopyRows& rows) noexcept = 0;
  /// Whether some of the work so far has failed; does not wait, and costs a microsecond or so.
  /// Asked in the thread that submits, it knows of refused submissions too.
  virtual bool failed() const noexcept = 0;
  /// The caller waits for all work. Throws environment error when some of it failed.
  virtual void synchronize() = 0;
};

/// pool: for the CPU. Throws environment error when there is no such GPU.
std::unique_ptr<Queue> make_queue(Place place, hw::WorkerPool* pool = nullptr);

}  // namespace ktx::device
