// The GPUs through the CUDA runtime.
#include "core/device/gpus.hpp"

#ifdef KTX_HAVE_CUDA
#include <cuda_runtime_api.h>
#endif

namespace ktx::device {

#ifdef KTX_HAVE_CUDA
std::vector<hw::Gpu> detect_gpus() {
  std::vector<hw::Gpu> gpus;
  int count = 0;
  const bool works = cudaGetDeviceCount(&count) == cudaSuccess;
  for (int i = 0; works && i < count; ++i) {
    cudaDeviceProp properties{};
    if (cudaGetDeviceProperties(&properties, i) != cudaSuccess) break;
    gpus.push_back({properties.name, properties.totalGlobalMem});
  }
  cudaGetLastError();  // a missing driver must not fail the next call
  return gpus;
}
#else
std::vector<hw::Gpu> detect_gpus() {
  return {};
}
#endif

}  // namespace ktx::device
