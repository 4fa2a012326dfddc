// Cutting arrays off a scratch block; with no block it only measures.
#pragma once

#include <cstddef>
#include <cstdint>

namespace ktx::ops {

/// Arrays start at multiples of 64 bytes. The same calls on an Arena of nullptr give the size
/// needed.
class Arena {
 public:
  explicit Arena(std::byte* block = nullptr) noexcept : block_(block) {}

  template <class T>
  T* take(int64_t count) noexcept {
    std::byte* at = block_ == nullptr ? nullptr : block_ + used_;
    used_ += (size_t(count) * sizeof(T) + 63) / 64 * 64;
    return reinterpret_cast<T*>(at);
  }

  size_t used() const noexcept { return used_; }

 private:
  std::byte* block_;
  size_t used_ = 0;
};

}  // namespace ktx::ops
