// Memory of GPUs, and the CPU's memory pinned for them.
#include "core/base/text.hpp"
#include "core/device/cuda.hpp"
#include "core/device/kinds.hpp"

namespace ktx::device {

namespace {

struct CudaStorage : Block::Storage {
  CudaStorage(Place place, size_t bytes) : gpu(place.index) {
    const CurrentGpu current(gpu);
    check(cudaMalloc(&data, bytes), to_string(place) + ": taking " + base::format_bytes(bytes));
  }
  ~CudaStorage() override {
    const CurrentGpu current(gpu);
    cudaFree(data);
  }

  int gpu;
  void* data = nullptr;
};

}  // namespace

Block cuda_alloc(Place place, size_t bytes) {
  require_gpu(place);
  if (bytes == 0) return {place, nullptr, 0, nullptr};
  auto storage = std::make_unique<CudaStorage>(place, bytes);
  auto* data = static_cast<std::byte*>(storage->data);
  return {place, data, bytes, std::move(storage)};
}

bool cuda_pin(std::span<std::byte> memory) {
  if (memory.empty() || gpu_count() == 0) return false;
  check(cudaHostRegister(memory.data(), memory.size(),
                         cudaHostRegisterPortable | cudaHostRegisterMapped),
        "pinning " + base::format_bytes(memory.size()) + " for the GPUs");
  return true;
}

void cuda_unpin(std::span<std::byte> memory) noexcept {
  cudaHostUnregister(memory.data());
}

}  // namespace ktx::device
