// Device-specific parts of memory.hpp, queue.hpp, graph.hpp, handshake.hpp and time_marks.hpp:
// implemented by cuda_*, or by no_cuda.cpp in builds without CUDA.
#pragma once

#include <memory>
#include <span>

#include "core/device/graph.hpp"
#include "core/device/handshake.hpp"
#include "core/device/memory.hpp"
#include "core/device/queue.hpp"
#include "core/device/time_marks.hpp"

namespace ktx::device {

Block cuda_alloc(Place place, size_t bytes);
std::unique_ptr<Queue> make_cuda_queue(Place place);

/// False if there is no GPU.
bool cuda_pin(std::span<std::byte> memory);
void cuda_unpin(std::span<std::byte> memory) noexcept;

std::unique_ptr<Graph> cuda_capture(Queue& queue, const std::function<void()>& submit);

std::unique_ptr<TimeMarks> cuda_time_marks(Queue& queue);

/// Loads the kernels of cuda_post() and cuda_wait() onto this GPU.
void cuda_load_handshake(Place place);
void cuda_post(const Pieces& pieces, const HandshakeFlags& flags, const Queue& queue) noexcept;
void cuda_wait(const Pieces& pieces, const HandshakeFlags& flags, const Queue& queue) noexcept;

}  // namespace ktx::device
