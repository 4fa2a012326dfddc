// Buffer over mmap.
#include "core/base/buffer.hpp"

#include <sys/mman.h>

#include <cstdint>
#include <utility>

#include "core/base/error.hpp"
#include "core/base/text.hpp"

namespace ktx::base {

namespace {
constexpr size_t small_page = 4096;
constexpr size_t huge_page = size_t{2} << 20;
}  // namespace

Buffer::Buffer(size_t size, bool huge) : size_(size) {
  if (size == 0) return;
  const size_t page = huge ? huge_page : small_page;
  const bool fits = size < SIZE_MAX - 2 * page;
  map_size_ = (size + page - 1) / page * page + (huge ? page : 0);
  // Without MAP_NORESERVE, so that the kernel refuses what can't fit into memory and swap.
  map_ =
      fits ? ::mmap(nullptr, map_size_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
           : MAP_FAILED;
  if (map_ == MAP_FAILED) {
    map_ = nullptr;
    throw_environment("not enough memory for " + format_bytes(size));
  }
  const auto at = reinterpret_cast<uintptr_t>(map_);
  data_ = reinterpret_cast<std::byte*>((at + page - 1) / page * page);
  if (huge) ::madvise(data_, map_size_ - page, MADV_HUGEPAGE);
}

Buffer::~Buffer() {
  free();
}

Buffer::Buffer(Buffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)),
      map_(std::exchange(other.map_, nullptr)),
      map_size_(std::exchange(other.map_size_, 0)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  if (this != &other) {
    free();
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
    map_ = std::exchange(other.map_, nullptr);
    map_size_ = std::exchange(other.map_size_, 0);
  }
  return *this;
}

void Buffer::free() noexcept {
  if (map_ != nullptr) ::munmap(map_, map_size_);
}

}  // namespace ktx::base
