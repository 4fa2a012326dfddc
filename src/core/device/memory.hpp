// Memory of a place.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "core/device/place.hpp"

namespace ktx::device {

/// Keeps a range of the CPU's memory in place while it lives and shows it to every GPU: copies then
/// run at the full rate of the bus and beside other work, and kernels read and write it under the
/// CPU's own addresses. Does nothing in a box without GPU.
class Pin {
 public:
  Pin() = default;
  /// memory: whole pages that belong to this process and are writable, bound to a NUMA node before
  /// if they are to be. Throws environment error when the driver refuses.
  explicit Pin(std::span<std::byte> memory);
  ~Pin();
  Pin(Pin&& other) noexcept;
  Pin& operator=(Pin&& other) noexcept;

 private:
  std::span<std::byte> memory_;  // empty: nothing is pinned
};

enum class Pinned { no, yes };

/// An owned range of bytes in the memory of a place. Of a GPU it has the address only.
class Block {
 public:
  /// What a kind of device keeps of a block; its end frees it.
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

/// At least 64-byte aligned; zeroed on the CPU, undefined on a GPU. `pinned` is for the CPU's
/// memory. A NUMA node in `place` is noted, not bound. Throws environment error when there is not
/// enough memory, or no such GPU.
Block alloc(Place place, size_t bytes, Pinned pinned = Pinned::no);

}  // namespace ktx::device
