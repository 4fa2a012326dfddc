// What tests of GPU code share: numbers to a GPU and back.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "core/device/gpus.hpp"
#include "core/device/memory.hpp"
#include "core/device/queue.hpp"

namespace ktx::test {

/// Whether CUDA can use a GPU of this box; without one a test says SKIP(test::no_gpu).
inline bool have_gpu() {
  return !device::detect_gpus().empty();
}
constexpr const char* no_gpu = "no GPU that CUDA can use";

/// The first GPU and a queue of it.
class Gpu {
 public:
  static constexpr device::Place place{device::DeviceKind::cuda, 0};

  device::Queue& queue() { return *queue_; }
  static int multiprocessors() { return device::detect_gpus().front().multiprocessors; }

  template <class T>
  device::Block upload(const std::vector<T>& numbers) {
    return upload(numbers.data(), numbers.size() * sizeof(T));
  }
  device::Block upload(const void* bytes, size_t count) {
    device::Block block = device::alloc(place, count);
    queue_->copy(block.data(), bytes, count);
    queue_->synchronize();
    return block;
  }

  /// Every byte 0xff: NaN in f32, f16 and bf16, -1 in integers.
  device::Block poisoned(size_t bytes) {
    return upload(std::vector<uint8_t>(bytes, uint8_t{0xff}));
  }

  /// Waits for the queue; throws what went wrong there.
  template <class T>
  std::vector<T> download(const device::Block& block) {
    std::vector<T> numbers(block.size() / sizeof(T));
    queue_->copy(numbers.data(), block.data(), numbers.size() * sizeof(T));
    queue_->synchronize();
    return numbers;
  }

 private:
  std::unique_ptr<device::Queue> queue_ = device::make_queue(place);
};

}  // namespace ktx::test
