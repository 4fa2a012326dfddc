// A GPU's work submitted once and launched many times: a CUDA graph.
#pragma once

#include <functional>
#include <memory>

#include "core/device/queue.hpp"

namespace ktx::device {

/// What was captured from a queue; it keeps the addresses that it was captured with.
class Graph {
 public:
  virtual ~Graph() = default;
  /// Submits all of it to its queue. Like any submission it cannot fail: Queue::synchronize() says
  /// what went wrong.
  virtual void launch() noexcept = 0;
};

/// Calls submit(), which submits work to `queue`, of a GPU and idle, and runs nothing of it; other
/// queues may take part that wait for an event recorded in it and are waited for by it at the end.
/// The graph and its kernels are on the GPU when the call returns, so that launching loads nothing.
/// Throws what submit() throws, and environment error with CUDA's reason when something in it can't
/// be captured, such as taking memory or waiting for the GPU; `queue` is as before then.
std::unique_ptr<Graph> capture(Queue& queue, const std::function<void()>& submit);

}  // namespace ktx::device
