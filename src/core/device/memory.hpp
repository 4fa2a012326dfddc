// Memory of a place.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "core/device/place.hpp"

namespace ktx::device {

/// Pins a range of CPU memory while it lives and maps it into every GPU: copies then run at the
/// full rate of the bus and concurrently with other work, and kernels access it at its CPU address.
/// Does nothing on a machine without a GPU.
class Pin {
 public:
  Pin() = default;
  /// memory: whole, writable pages of this process; if they are to be bound to a NUMA node, bind
  /// them first. Throws environment error when the driver refuses.
  explicit Pin(std::span<std::byte> memory);
  ~Pin();
  Pin(Pin&& other) noexcept;
  Pin& operator=(Pin&& other) noexcept;

 private:
  std::span<std::byte> memory_;  // empty: nothing is pinned
};

enum class Pinned { no, yes };

/// An owned range of bytes in the memory of a place. On a GPU, data() is a device address.
class Block {
 public:
  /// Device-specific ownership of the memory; its destructor frees it.
  struct Storage {
    virtual ~Storage() = default;
  };

  Block() = default;
  Block(Place place, std::byte* data, size_t size, std::unique_ptr<Storage> storage) noexcept;

  Place place() const noexcept { return place_; }
  std::byte* data() const noexcept { return data_; }
  size_t size() const noexcept { return size_; }
  template <class T>
  T* as() const noexcept {
    return reinterpret_cast<T*>(data_);
  }

 private:
  Place place_;
  std::unique_ptr<Storage> storage_;
  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

/// Allocates memory, at least 64-byte aligned; zeroed on the CPU, uninitialised on a GPU. `pinned`
/// applies to CPU memory. A NUMA node in `place` is recorded, but memory is not bound to it. Throws
/// environment error when memory is short or there is no such GPU.
Block alloc(Place place, size_t bytes, Pinned pinned = Pinned::no);

}  // namespace ktx::device
