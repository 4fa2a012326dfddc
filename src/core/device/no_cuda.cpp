// What a build without CUDA answers in place of cuda_*.cpp.
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

}  // namespace ktx::device
#endif
