// mmap, and the list of all mappings for signal handlers.
#include "core/base/mapped_file.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <string>
#include <utility>

#include "core/base/error.hpp"
#include "core/base/file.hpp"
#include "ktx/mapped_file.hpp"

namespace ktx {

namespace {

// One mapping in a list that only grows, so that a signal handler may walk it at any time. An entry
// whose mapping has ended, with `begin` null, is used again.
struct Mapping {
  std::atomic<const std::byte*> begin{nullptr};
  std::atomic<size_t> size{0};
  std::string path;
  Mapping* next = nullptr;
};

std::atomic<Mapping*> mappings{nullptr};
std::mutex changing;

void enlist(const std::byte* begin, size_t size, const std::filesystem::path& path) {
  const std::lock_guard lock(changing);
  Mapping* at = mappings;
  while (at != nullptr && at->begin != nullptr) at = at->next;
  const bool fresh = at == nullptr;
  if (fresh) at = new Mapping;  // never deleted: the list is the program's
  at->path = path.string();
  at->size = size;
  at->begin = begin;
  if (!fresh) return;
  at->next = mappings;
  mappings = at;
}

void strike(const std::byte* begin) noexcept {
  const std::lock_guard lock(changing);
  for (Mapping* at = mappings; at != nullptr; at = at->next)
    if (at->begin == begin) at->begin = nullptr;
}

}  // namespace

const char* mapped_file_at(const void* address) noexcept {
  for (const Mapping* at = mappings; at != nullptr; at = at->next) {
    const std::byte* const begin = at->begin;
    if (begin != nullptr && address >= begin && address < begin + at->size) return at->path.c_str();
  }
  return nullptr;
}

namespace base {

MappedFile::MappedFile(const std::filesystem::path& file) : path_(file) {
  struct stat status {};
  const int fd = open_regular_file(file, status);
  size_ = static_cast<size_t>(status.st_size);
  void* const at = size_ == 0 ? nullptr : ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, fd, 0);
  const int reason = errno;
  ::close(fd);
  if (at == MAP_FAILED)
    throw_environment("can't be mapped: " + std::string(std::strerror(reason)), file.string());
  data_ = static_cast<const std::byte*>(at);
  if (data_ != nullptr) enlist(data_, size_, path_);
}

MappedFile::~MappedFile() {
  close();
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  if (this != &other) {
    close();
    path_ = std::move(other.path_);
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}

void MappedFile::close() noexcept {
  if (data_ == nullptr) return;
  strike(data_);
  ::munmap(const_cast<std::byte*>(data_), size_);
}

void MappedFile::prefer_huge_pages() const noexcept {
  if (data_ != nullptr) ::madvise(const_cast<std::byte*>(data_), size_, MADV_HUGEPAGE);
}

void MappedFile::populate(size_t offset, size_t size) const noexcept {
  constexpr size_t page = 4096;
  if (offset >= size_) return;
  const size_t end = offset + std::min(size, size_ - offset);
  auto* const begin = const_cast<std::byte*>(data_) + offset / page * page;
  const auto length = static_cast<size_t>(data_ + end - begin);
  ::madvise(begin, length, MADV_POPULATE_READ);
}

}  // namespace base

}  // namespace ktx
