// The choice among the kinds of devices.
#include "core/device/time_marks.hpp"

#include "core/base/error.hpp"
#include "core/device/kinds.hpp"

namespace ktx::device {

std::unique_ptr<TimeMarks> make_time_marks(Queue& queue) {
  require(queue.place().kind == DeviceKind::cuda, "the CPU reads its own clock");
  return cuda_time_marks(queue);
}

}  // namespace ktx::device
