// Errors of the CUDA runtime, the current GPU, what GPUs are made of.
#include "core/device/cuda.hpp"

#include <charconv>
#include <cstdlib>
#include <sstream>
#include <string>
#include <vector>

#include "core/base/error.hpp"

namespace ktx::device {

void check(cudaError_t error, std::string_view doing) {
  if (error == cudaSuccess) return;
  cudaGetLastError();
  throw_environment(std::string(doing) + ": " + cudaGetErrorString(error));
}

namespace {

std::vector<int> find_devices() {
  int count = 0;
  if (cudaGetDeviceCount(&count) != cudaSuccess) count = 0;
  cudaGetLastError();  // a missing driver must not fail the next call
  std::vector<int> devices;
  const char* named = std::getenv("KTX_CUDA_DEVICES");
  if (named == nullptr) {
    for (int i = 0; i < count; ++i) devices.push_back(i);
    return devices;
  }
  std::istringstream list(named);
  for (std::string number; std::getline(list, number, ',');) {
    int device = -1;
    std::from_chars(number.data(), number.data() + number.size(), device);
    if (device < 0 || device >= count) break;  // as CUDA does: what follows is not there
    devices.push_back(device);
  }
  return devices;
}

const std::vector<int>& devices() noexcept {
  static const std::vector<int> found = find_devices();
  return found;
}

}  // namespace

int gpu_count() noexcept {
  return static_cast<int>(devices().size());
}

int cuda_device(int index) noexcept {
  return devices()[static_cast<size_t>(index)];
}

void require_gpu(Place place) {
  const int count = gpu_count();
  if (place.index < count) return;
  throw_environment("there is no " + to_string(place) + ": this box has " +
                    (count == 0 ? "no GPU that CUDA can use" : std::to_string(count) + " GPUs"));
}

CurrentGpu::CurrentGpu(int index) noexcept {
  cudaGetDevice(&before_);
  if (before_ != cuda_device(index)) cudaSetDevice(cuda_device(index));
}

CurrentGpu::~CurrentGpu() {
  int now = 0;
  cudaGetDevice(&now);
  if (now != before_) cudaSetDevice(before_);
}

namespace {

GpuLimits read_limits(int device) {
  const auto read = [device](cudaDeviceAttr what) {
    int value = 0;
    check(cudaDeviceGetAttribute(&value, what, device), "reading a GPU's limits");
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
    for (const int device : devices()) all.push_back(read_limits(device));
    return all;
  }();
  require(index >= 0 && static_cast<size_t>(index) < limits.size(), "limits of a missing GPU");
  return limits[static_cast<size_t>(index)];
}

}  // namespace ktx::device
