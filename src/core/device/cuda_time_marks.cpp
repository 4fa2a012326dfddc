// Marks are events that keep the time.
#include <utility>
#include <vector>

#include "core/device/cuda.hpp"
#include "core/device/kinds.hpp"

namespace ktx::device {

namespace {

class CudaTimeMarks : public TimeMarks {
 public:
  explicit CudaTimeMarks(Queue& queue) : queue_(queue) {
    const CurrentGpu current(queue_.place().index);
    for (cudaEvent_t* event : {&origin_, &trial_}) check(cudaEventCreate(event), "making an event");
    align();
  }
  ~CudaTimeMarks() override {
    for (const cudaEvent_t event : events_) cudaEventDestroy(event);
    cudaEventDestroy(origin_);
    cudaEventDestroy(trial_);
  }

  int mark(Queue& queue) noexcept override {
    const CurrentGpu current(queue_.place().index);
    if (used_ == events_.size()) {
      cudaEvent_t event = nullptr;
      if (cudaEventCreate(&event) != cudaSuccess) return -1;
      events_.push_back(event);
    }
    const cudaStream_t stream = stream_of(queue);
    cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
    cudaStreamIsCapturing(stream, &status);
    // Without this flag the event of a captured queue orders the graph, and keeps no time.
    const unsigned flags =
        status == cudaStreamCaptureStatusActive ? cudaEventRecordExternal : cudaEventRecordDefault;
    if (cudaEventRecordWithFlags(events_[used_], stream, flags) != cudaSuccess) return -1;
    return static_cast<int>(used_++);
  }
  void keep(int count) noexcept override { used_ = static_cast<size_t>(count); }
  int count() const noexcept override { return static_cast<int>(used_); }

  // An event is passed at some time between two of the CPU; the closest of many such pairs counts.
  void align() override {
    constexpr int trials = 64;
    const CurrentGpu current(queue_.place().index);
    queue_.synchronize();
    auto shortest = Clock::duration::max();
    for (int i = 0; i < trials; ++i) {
      const auto before = Clock::now();
      check(cudaEventRecord(trial_, stream_of(queue_)), "recording an event");
      cudaError_t passed = cudaErrorNotReady;
      while (passed == cudaErrorNotReady) passed = cudaEventQuery(trial_);
      const auto after = Clock::now();
      cudaGetLastError();  // that it was not ready was no failure
      check(passed, "waiting for an event");
      if (after - before >= shortest) continue;
      shortest = after - before;
      begin_ = before + shortest / 2;
      std::swap(origin_, trial_);
    }
    error_ = shortest / 2;
  }
  std::chrono::nanoseconds error() const noexcept override { return error_; }
  Clock::time_point time(int mark) const override {
    const CurrentGpu current(queue_.place().index);
    const cudaEvent_t event = events_[static_cast<size_t>(mark)];
    check(cudaEventSynchronize(event), "waiting for an event");
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, origin_, event), "reading an event's time");
    return begin_ + std::chrono::duration_cast<Clock::duration>(
                        std::chrono::duration<double, std::milli>(milliseconds));
  }

 private:
  Queue& queue_;
  std::vector<cudaEvent_t> events_;
  size_t used_ = 0;
  cudaEvent_t origin_ = nullptr, trial_ = nullptr;
  Clock::time_point begin_;  // when origin_ was passed
  std::chrono::nanoseconds error_{};
};

}  // namespace

std::unique_ptr<TimeMarks> cuda_time_marks(Queue& queue) {
  return std::make_unique<CudaTimeMarks>(queue);
}

}  // namespace ktx::device
