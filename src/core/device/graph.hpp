// CUDA graphs: GPU work that is captured once and launched many times.
#pragma once

#include <functional>
#include <memory>

#include "core/device/queue.hpp"

namespace ktx::device {

/// Captured work of a queue. It keeps the addresses that it was captured with.
class Graph {
 public:
  virtual ~Graph() = default;
  /// Submits all of it to its queue. Like any submission it cannot fail: Queue::synchronize()
  /// reports what went wrong.
  virtual void launch() noexcept = 0;
};

/// Calls submit(), which submits work to `queue`, an idle queue of a GPU, and captures that work
/// instead of running it. Other queues may take part if they wait for an event recorded in `queue`
/// and `queue` waits for them at the end. The graph and its kernels are on the GPU when the call
/// returns, so that a launch loads nothing. Throws what submit() throws, and environment error with
/// CUDA's reason when something in it can't be captured, such as allocating memory or waiting for
/// the GPU; `queue` is then as before.
std::unique_ptr<Graph> capture(Queue& queue, const std::function<void()>& submit);

}  // namespace ktx::device
