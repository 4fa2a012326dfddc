// An owned, 64-byte aligned block of bytes, optionally on huge pages.
#pragma once

#include <cstddef>
#include <span>

namespace ktx::base {

/// Zeroed memory mapped directly from the kernel, so that large blocks can use 2 MiB pages.
class Buffer {
 public:
  Buffer() = default;
  /// size in bytes. huge: aligned to 2 MiB and advised to use huge pages (a hint).
  /// Throws environment error when there is not enough memory.
  explicit Buffer(size_t size, bool huge = false);
  ~Buffer();
  Buffer(Buffer&& other) noexcept;
  Buffer& operator=(Buffer&& other) noexcept;

  std::byte* data() noexcept { return data_; }
  const std::byte* data() const noexcept { return data_; }
  size_t size() const noexcept { return size_; }
  std::span<std::byte> bytes() noexcept { return {data_, size_}; }

  template <class T>
  T* as() noexcept {
    return reinterpret_cast<T*>(data_);
  }
  template <class T>
  const T* as() const noexcept {
    return reinterpret_cast<const T*>(data_);
  }

 private:
  void free() noexcept;

  std::byte* data_ = nullptr;  // inside [map_, map_ + map_size_)
  size_t size_ = 0;
  void* map_ = nullptr;
  size_t map_size_ = 0;
};

}  // namespace ktx::base
