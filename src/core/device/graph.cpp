// The choice among the kinds of devices that have graphs.
#include "core/device/graph.hpp"

#include "core/base/error.hpp"
#include "core/device/kinds.hpp"

namespace ktx::device {

std::unique_ptr<Graph> capture(Queue& queue, const std::function<void()>& submit) {
  require(queue.place().kind == DeviceKind::cuda, "a graph is captured from a GPU's queue");
  return cuda_capture(queue, submit);
}

}  // namespace ktx::device
