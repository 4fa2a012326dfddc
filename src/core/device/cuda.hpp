// The CUDA runtime, for the units that are compiled with it (*.cu, cuda*.cpp).
#pragma once

#include <cuda_runtime.h>

#include <string_view>

#include "core/device/queue.hpp"

namespace ktx::device {

/// Throws environment error "<doing>: <CUDA's reason>" unless `error` is success; clears CUDA's
/// last error.
void check(cudaError_t error, std::string_view doing);

/// The number of usable GPUs: 0 without a driver. KTX_CUDA_DEVICES selects them, like
/// CUDA_VISIBLE_DEVICES: 1,0 swaps two; 0,0 presents one as two, to try a plan for two.
int gpu_count() noexcept;
/// CUDA's device number of GPU `index`.
int cuda_device(int index) noexcept;

/// Throws environment error unless there is such a GPU.
void require_gpu(Place place);

/// Makes GPU `index` the current device of this thread while the object lives.
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

/// Fails a GPU's queue for a reason that is not the runtime's: it does nothing more until
/// synchronize() has reported the reason, which must have static lifetime.
void refuse(const Queue& queue, const char* reason) noexcept;

/// Properties that kernels adapt to.
struct GpuLimits {
  int multiprocessors = 0;
  int capability = 0;       // 90 for 9.0
  size_t shared_bytes = 0;  // the most shared memory of one block
  size_t l2_bytes = 0;
};
/// Of an existing GPU; read once.
const GpuLimits& limits_of(int index);

/// Grid size of a kernel launch: blocks for n items, `each` per block.
constexpr unsigned blocks_for(int64_t n, int64_t each) noexcept {
  return static_cast<unsigned>((n + each - 1) / each);
}

}  // namespace ktx::device
