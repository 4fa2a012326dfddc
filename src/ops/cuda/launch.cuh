// Launches whose start the kernel before them hides, where GPUs can do that (sm_90 on): a block
// begins as soon as there is room for it, asks for weights, and then waits.
#pragma once

#include <type_traits>

#include "core/device/cuda.hpp"

namespace ktx::ops::cuda {

struct LaunchShape {
  dim3 grid, block;
  size_t shared_bytes = 0;
};

/// Launches a kernel in whose every thread await_previous() comes before all that depends on
/// earlier kernels or that they might still need: reads of what they write, and every write.
template <class... Params>
void launch(void (*kernel)(Params...), const LaunchShape& shape, const device::Queue& queue,
            const std::type_identity_t<Params>&... args) noexcept {
  cudaLaunchAttribute early{};
  early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  early.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = shape.grid;
  config.blockDim = shape.block;
  config.dynamicSmemBytes = shape.shared_bytes;
  config.stream = device::stream_of(queue);
  config.attrs = &early;
  config.numAttrs = device::limits_of(queue.place().index).capability >= 90 ? 1 : 0;
  cudaLaunchKernelEx(&config, kernel, args...);
}

/// Waits until the kernels before this one have ended and what they wrote is seen. The next one may
/// begin meanwhile: a launch takes longer than a short kernel, so that several stand ready. It ends
/// its own wait after this one has.
__device__ __forceinline__ void await_previous() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

}  // namespace ktx::ops::cuda
