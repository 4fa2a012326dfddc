// Blocks of the CPU's memory, and the choice among the kinds of devices.
#include "core/device/memory.hpp"

#include <utility>

#include "core/base/buffer.hpp"
#include "core/device/kinds.hpp"

namespace ktx::device {

namespace {

struct CpuStorage : Block::Storage {
  static constexpr size_t huge_from = size_t{4} << 20;

  CpuStorage(size_t bytes, Pinned pinned) : buffer(bytes, bytes >= huge_from) {
    if (pinned == Pinned::yes && bytes != 0) pin = Pin(buffer.bytes());
  }

  base::Buffer buffer;
  Pin pin;  // ends before the buffer
};

}  // namespace

Pin::Pin(std::span<std::byte> memory) {
  if (cuda_pin(memory)) memory_ = memory;
}

Pin::~Pin() {
  if (!memory_.empty()) cuda_unpin(memory_);
}

Pin::Pin(Pin&& other) noexcept : memory_(std::exchange(other.memory_, {})) {}

Pin& Pin::operator=(Pin&& other) noexcept {
  std::swap(memory_, other.memory_);
  return *this;
}

Block::Block(Place place, std::byte* data, size_t size, std::unique_ptr<Storage> storage) noexcept
    : place_(place), storage_(std::move(storage)), data_(data), size_(size) {}

Block alloc(Place place, size_t bytes, Pinned pinned) {
  if (place.kind == DeviceKind::cuda) return cuda_alloc(place, bytes);
  auto storage = std::make_unique<CpuStorage>(bytes, pinned);
  std::byte* data = storage->buffer.data();
  return {place, data, bytes, std::move(storage)};
}

}  // namespace ktx::device
