// Errors of the CUDA runtime, the current GPU, what GPUs are made of.
#include "core/device/cuda.hpp"

#include <vector>

#include "core/base/error.hpp"

namespace ktx::device {

void check(cudaError_t error, std::string_view doing) {
  if (error == cudaSuccess) return;
  cudaGetLastError();
  throw_environment(std::string(doing) + ": " + cudaGetErrorString(error));
}

int gpu_count() noexcept {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess) count = 0;
  cudaGetLastError();  // a missing driver must not fail the next call
  return count;
}

void require_gpu(Place place) {
  const int count = gpu_count();
  if (place.index < count) return;
  throw_environment("there is no " + to_string(place) + ": this box has " +
                    (count == 0 ? "no GPU that CUDA can use" : std::to_string(count) + " GPUs"));
}

CurrentGpu::CurrentGpu(int index) noexcept {
  cudaGetDevice(&before_);
  if (before_ != index) cudaSetDevice(index);
}

CurrentGpu::~CurrentGpu() {
  int now = 0;
  cudaGetDevice(&now);
  if (now != before_) cudaSetDevice(before_);
}

namespace {

GpuLimits read_limits(int index) {
  const auto read = [index](cudaDeviceAttr what) {
    int value = 0;
    check(cudaDeviceGetAttribute(&value, what, index), "reading a GPU's limits");
    return value;
  };
  return {.multiprocessors = read(cudaDevAttrMultiProcessorCount),
          .capability = read(cudaDevAttrComputeCapabilityMajor) * 10 +
                        read(cudaDevAttrComputeCapabilityMinor),
          .shared_bytes = static_cast<size_t>(read(cudaDevAttrMaxSharedMemoryPerBlockOptin)),
          .l2_bytes = static_cast<size_t>(read(cudaDevAttrL2CacheSize))};
}

}  // namespace

const GpuLimits& limits_of(int index) {
  static const std::vector<GpuLimits> limits = [] {
    std::vector<GpuLimits> all;
    for (int i = 0; i < gpu_count(); ++i) all.push_back(read_limits(i));
    return all;
  }();
  require(index >= 0 && static_cast<size_t>(index) < limits.size(), "limits of a missing GPU");
  return limits[static_cast<size_t>(index)];
}

}  // namespace ktx::device
