// What the kinds of devices besides the CPU do for memory.hpp and queue.hpp: implemented by
// cuda_*.cpp, or where there is no CUDA toolkit by no_cuda.cpp.
#pragma once

#include <memory>
#include <span>

#include "core/device/memory.hpp"
#include "core/device/queue.hpp"

namespace ktx::device {

Block cuda_alloc(Place place, size_t bytes);
std::unique_ptr<Queue> make_cuda_queue(Place place);

/// False when there is no GPU to pin for.
bool cuda_pin(std::span<std::byte> memory);
void cuda_unpin(std::span<std::byte> memory) noexcept;

}  // namespace ktx::device
