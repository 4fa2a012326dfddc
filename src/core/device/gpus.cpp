// The GPUs through the CUDA runtime.
#include "core/device/gpus.hpp"

#ifdef KTX_HAVE_CUDA
#include "core/device/cuda.hpp"
#endif

namespace ktx::device {

#ifdef KTX_HAVE_CUDA
namespace {

// GPUs that are the same card.
size_t sharers(int index) {
  size_t count = 0;
  for (int i = 0; i < gpu_count(); ++i) count += cuda_device(i) == cuda_device(index);
  return count;
}

}  // namespace

std::vector<hw::Gpu> detect_gpus() {
  std::vector<hw::Gpu> gpus;
  for (int i = 0; i < gpu_count(); ++i) {
    cudaDeviceProp properties{};
    if (cudaGetDeviceProperties(&properties, cuda_device(i)) != cudaSuccess) break;
    gpus.push_back({.name = properties.name,
                    .memory_bytes = properties.totalGlobalMem / sharers(i),
                    .capability = 10 * properties.major + properties.minor,
                    .multiprocessors = properties.multiProcessorCount});
  }
  return gpus;
}
#else
std::vector<hw::Gpu> detect_gpus() {
  return {};
}
#endif

}  // namespace ktx::device
