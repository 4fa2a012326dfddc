// The door to the CUDA runtime, for the units that are compiled with it (*.cu, cuda*.cpp).
#pragma once

#include <cuda_runtime.h>

#include <string_view>

#include "core/device/queue.hpp"

namespace ktx::device {

/// Throws environment error "doing: CUDA's reason" unless it went well; clears CUDA's last error.
void check(cudaError_t error, std::string_view doing);

/// GPUs that work here: 0 without a driver. KTX_CUDA_DEVICES names them, as CUDA_VISIBLE_DEVICES
/// does: 1,0 turns two around, and 0,0 makes two of one, to try a plan for two.
int gpu_count() noexcept;
/// CUDA's number of a GPU.
int cuda_device(int index) noexcept;

/// Throws environment error unless there is such a GPU.
void require_gpu(Place place);

/// Calls of this thread go to GPU `index` while the object lives.
class CurrentGpu {
 public:
  explicit CurrentGpu(int index) noexcept;
  ~CurrentGpu();
  CurrentGpu(const CurrentGpu&) = delete;
  CurrentGpu& operator=(const CurrentGpu&) = delete;

 private:
  int before_ = 0;
};

/// The stream of a GPU's queue.
cudaStream_t stream_of(const Queue& queue) noexcept;

/// Ends what a GPU's queue can do, for a refusal that is not the runtime's: the queue has failed
/// until synchronize() has told the reason, which must live for ever.
void refuse(const Queue& queue, const char* reason) noexcept;

/// What kernels are shaped by.
struct GpuLimits {
  int multiprocessors = 0;
  int capability = 0;       // 90 for 9.0
  size_t shared_bytes = 0;  // that one block may ask for
  size_t l2_bytes = 0;
};
/// Of a GPU that is there; read once.
const GpuLimits& limits_of(int index);

/// Kernel launches: blocks of a grid for n items.
constexpr unsigned blocks_for(int64_t n, int64_t each) noexcept {
  return static_cast<unsigned>((n + each - 1) / each);
}

}  // namespace ktx::device
