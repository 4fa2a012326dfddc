// The queue of the CPU, and the choice among the kinds of devices.
#include "core/device/queue.hpp"

#include <cstring>

#include "core/base/error.hpp"
#include "core/device/kinds.hpp"

namespace ktx::device {

namespace {

// Nothing is ever left to be waited for.
struct CpuEvent : Event {
  bool passed() const noexcept override { return true; }
  void synchronize() const noexcept override {}
};

class CpuQueue : public Queue {
 public:
  CpuQueue(Place place, hw::WorkerPool& pool) : place_(place), pool_(pool) {}

  Place place() const noexcept override { return place_; }
  hw::WorkerPool* pool() const noexcept override { return &pool_; }
  std::unique_ptr<Event> make_event() const override { return std::make_unique<CpuEvent>(); }
  void record(Event&) noexcept override {}
  void wait(const Event& event) noexcept override { event.synchronize(); }
  void copy(void* to, const void* from, size_t bytes) noexcept override {
    std::memcpy(to, from, bytes);
  }
  void copy_rows(const CopyRows& rows) noexcept override {
    for (size_t r = 0; r < rows.rows; ++r)
      std::memcpy(static_cast<std::byte*>(rows.to) + r * rows.to_stride,
                  static_cast<const std::byte*>(rows.from) + r * rows.from_stride, rows.row_bytes);
  }
  bool failed() const noexcept override { return false; }
  void synchronize() override {}

 private:
  Place place_;
  hw::WorkerPool& pool_;
};

}  // namespace

std::unique_ptr<Queue> make_queue(Place place, hw::WorkerPool* pool) {
  if (place.kind == DeviceKind::cuda) return make_cuda_queue(place);
  require(pool != nullptr, "a queue of the CPU needs its workers");
  return std::make_unique<CpuQueue>(place, *pool);
}

}  // namespace ktx::device
