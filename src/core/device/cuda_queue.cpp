// A GPU's queue: a stream.
#include <atomic>

#include "core/base/error.hpp"
#include "core/device/cuda.hpp"
#include "core/device/kinds.hpp"

namespace ktx::device {

namespace {

struct CudaEvent : Event {
  explicit CudaEvent(int index) : gpu(index) {
    const CurrentGpu current(gpu);
    check(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "making an event");
  }
  ~CudaEvent() override { cudaEventDestroy(event); }
  bool passed() const noexcept override {
    if (cudaEventQuery(event) != cudaErrorNotReady) return true;
    cudaGetLastError();  // that it is not ready yet is no failure
    return false;
  }
  void synchronize() const noexcept override { cudaEventSynchronize(event); }

  int gpu;
  cudaEvent_t event = nullptr;
};

class CudaQueue : public Queue {
 public:
  explicit CudaQueue(Place place) : place_(place) {
    const CurrentGpu current(place.index);
    reach_others();
    check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking),
          to_string(place) + ": making a stream");
  }
  ~CudaQueue() override {
    const CurrentGpu current(place_.index);
    cudaStreamDestroy(stream_);
  }

  Place place() const noexcept override { return place_; }
  cudaStream_t stream() const noexcept { return stream_; }
  void refuse(const char* reason) const noexcept { refusal_ = reason; }

  std::unique_ptr<Event> make_event() const override {
    return std::make_unique<CudaEvent>(place_.index);
  }
  void record(Event& event) noexcept override {
    cudaEventRecord(static_cast<CudaEvent&>(event).event, stream_);
  }
  void wait(const Event& event) noexcept override {
    // Events of the CPU have passed.
    if (const auto* other = dynamic_cast<const CudaEvent*>(&event))
      cudaStreamWaitEvent(stream_, other->event, 0);
  }
  void copy(void* to, const void* from, size_t bytes) noexcept override {
    cudaMemcpyAsync(to, from, bytes, cudaMemcpyDefault, stream_);
  }
  void copy_rows(const CopyRows& rows) noexcept override {
    if (rows.to_stride == rows.row_bytes && rows.from_stride == rows.row_bytes)
      return copy(rows.to, rows.from, rows.rows * rows.row_bytes);
    cudaMemcpy2DAsync(rows.to, rows.to_stride, rows.from, rows.from_stride, rows.row_bytes,
                      rows.rows, cudaMemcpyDefault, stream_);
  }
  bool failed() const noexcept override {
    if (refusal_ != nullptr) return true;
    const CurrentGpu current(place_.index);
    if (cudaPeekAtLastError() != cudaSuccess) return true;  // left for synchronize() to tell
    const cudaError_t done = cudaStreamQuery(stream_);
    if (done == cudaErrorNotReady) cudaGetLastError();  // that it is not ready yet is no failure
    return done != cudaSuccess && done != cudaErrorNotReady;
  }
  void synchronize() override {
    const CurrentGpu current(place_.index);
    const cudaError_t launched = cudaGetLastError();  // what a launch refused
    const cudaError_t done = cudaStreamSynchronize(stream_);
    const char* refusal = refusal_.exchange(nullptr);
    check(done != cudaSuccess ? done : launched, to_string(place_) + " failed");
    if (refusal != nullptr) throw_environment(to_string(place_) + " failed: " + refusal);
  }

 private:
  // Copies between GPUs that reach each other do not go through the CPU's memory.
  void reach_others() const noexcept {
    const int own = cuda_device(place_.index);
    for (int i = 0; i < gpu_count(); ++i) {
      int reachable = 0;
      if (cuda_device(i) == own) continue;
      cudaDeviceCanAccessPeer(&reachable, own, cuda_device(i));
      if (reachable != 0) cudaDeviceEnablePeerAccess(cuda_device(i), 0);
      cudaGetLastError();  // that it is enabled already is no failure
    }
  }

  Place place_;
  cudaStream_t stream_ = nullptr;
  mutable std::atomic<const char*> refusal_ = nullptr;
};

}  // namespace

std::unique_ptr<Queue> make_cuda_queue(Place place) {
  require_gpu(place);
  return std::make_unique<CudaQueue>(place);
}

cudaStream_t stream_of(const Queue& queue) noexcept {
  return static_cast<const CudaQueue&>(queue).stream();
}

void refuse(const Queue& queue, const char* reason) noexcept {
  static_cast<const CudaQueue&>(queue).refuse(reason);
}

}  // namespace ktx::device
