// What a build without CUDA answers in place of cuda_*.
#ifndef KTX_HAVE_CUDA
#include "core/base/error.hpp"
#include "core/device/kinds.hpp"

namespace ktx::device {

namespace {

[[noreturn]] void throw_no_cuda(Place place) {
  throw_environment("there is no " + to_string(place) + ": ktx was built without CUDA");
}

}  // namespace

Block cuda_alloc(Place place, size_t) {
  throw_no_cuda(place);
}

std::unique_ptr<Queue> make_cuda_queue(Place place) {
  throw_no_cuda(place);
}

bool cuda_pin(std::span<std::byte>) {
  return false;
}

void cuda_unpin(std::span<std::byte>) noexcept {}

std::unique_ptr<Graph> cuda_capture(Queue& queue, const std::function<void()>&) {
  throw_no_cuda(queue.place());
}

std::unique_ptr<TimeMarks> cuda_time_marks(Queue& queue) {
  throw_no_cuda(queue.place());
}

void cuda_load_handshake(Place place) {
  throw_no_cuda(place);
}

// No queue of a GPU can get here.
void cuda_post(const Pieces&, const HandshakeFlags&, const Queue&) noexcept {}
void cuda_wait(const Pieces&, const HandshakeFlags&, const Queue&) noexcept {}

}  // namespace ktx::device
#endif
