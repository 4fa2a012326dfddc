// Kits of GPUs.
#include "engine/run/cuda_kit.hpp"

namespace ktx::engine {

CudaKit::CudaKit(device::Queue& queue)
    : matmul(queue),
      heads(queue),
      handshake(queue),
      arrived(device::alloc(queue.place(), sizeof(unsigned))),
      posted(queue.make_event()) {
  const unsigned zero = 0;
  queue.copy(arrived.data(), &zero, sizeof zero);
  queue.synchronize();
}

void CudaKitDeleter::operator()(CudaKit* kit) const noexcept {
  delete kit;
}

uint64_t cuda_kit_bytes() noexcept {
  return ops::cuda::MatmulSpace::bytes() + ops::cuda::HeadProducts::bytes();
}

double stream_bandwidth(const CudaKit& kit) noexcept {
  return kit.stream ? kit.stream->copy_bandwidth : 0;
}

bool lost_handshake(const CudaKit& kit) noexcept {
  return kit.handshake.status() != device::HandshakeStatus::ok;
}

void reset_handshake(CudaKit& kit) {
  kit.handshake.reset();
}

CudaKitPointer make_cuda_kit(device::Queue& queue) {
  return CudaKitPointer(new CudaKit(queue));
}

}  // namespace ktx::engine
