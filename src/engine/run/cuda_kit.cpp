// Kits of GPUs.
#include "engine/run/cuda_kit.hpp"

namespace ktx::engine {

void CudaKitDeleter::operator()(CudaKit* kit) const noexcept {
  delete kit;
}

uint64_t cuda_kit_bytes() noexcept {
  return ops::cuda::MatmulSpace::bytes() + ops::cuda::HeadProducts::bytes();
}

double stream_bandwidth(const CudaKit& kit) noexcept {
  return kit.stream ? kit.stream->copy_bandwidth : 0;
}

void reset_handshake(CudaKit& kit) {
  kit.handshake.reset();
}

CudaKitPointer make_cuda_kit(device::Queue& queue) {
  return CudaKitPointer(new CudaKit(queue));
}

}  // namespace ktx::engine
