// Replaces cuda_*.cpp in builds without CUDA. Never reached: without GPUs there are no plans for
// them.
#ifndef KTX_HAVE_CUDA
#include "core/base/error.hpp"
#include "engine/run/commands.hpp"
#include "engine/run/devices.hpp"

namespace ktx::engine {

void CudaKitDeleter::operator()(CudaKit*) const noexcept {}

uint64_t cuda_kit_bytes() noexcept {
  return 0;
}
double stream_bandwidth(const CudaKit&) noexcept {
  return 0;
}
bool lost_handshake(const CudaKit&) noexcept {
  return false;
}
void reset_handshake(CudaKit&) {}

CudaKitPointer make_cuda_kit(device::Queue&) {
  throw_bug("a GPU without CUDA");
}
std::unique_ptr<Command> make_cuda_command(const CommandContext&, std::span<const graph::Node>) {
  throw_bug("a command of a GPU without CUDA");
}
size_t cuda_scratch_bytes(const CommandContext&, std::span<const graph::Node>) {
  return 0;
}
std::unique_ptr<Command> make_inputs_command(const CommandContext&, int) {
  throw_bug("a command of a GPU without CUDA");
}
std::unique_ptr<Command> make_post_command(const CommandContext&, int) {
  throw_bug("a command of a GPU without CUDA");
}
std::unique_ptr<Command> make_receive_command(const CommandContext&, int) {
  throw_bug("a command of a GPU without CUDA");
}
std::unique_ptr<Command> make_answer_command(const CommandContext&, int) {
  throw_bug("a command of a GPU without CUDA");
}

}  // namespace ktx::engine
#endif
