// pread, with O_DIRECT where the page cache does not hold the range.
#include "core/base/file_reader.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <vector>

#include "core/base/error.hpp"
#include "core/base/file.hpp"

namespace ktx::base {

namespace {

std::string time_text(const timespec& time) {
  return std::to_string(time.tv_sec) + "." + std::to_string(time.tv_nsec);
}

// Files of equal size and times are told apart by their paths. Device and inode numbers would not
// do: those of network and FUSE mounts change with every mount, those of disks with the order in
// which they are found.
std::filesystem::path real_path(const std::filesystem::path& file) {
  std::error_code ec;
  auto real = std::filesystem::canonical(file, ec);
  return ec ? file : real;
}

// The kernel tells which pages of a file are cached only to its owner and to those who may write
// it; to others it says that all are.
bool may_see_cached_pages(int fd, const struct stat& status) {
  return status.st_uid == ::geteuid() ||
         ::access(("/proc/self/fd/" + std::to_string(fd)).c_str(), W_OK) == 0;
}

}  // namespace

FileReader::FileReader(const std::filesystem::path& file) : path_(file) {
  struct stat status {};
  fd_ = open_regular_file(file, status);
  size_ = static_cast<uint64_t>(status.st_size);
  stamp_ = real_path(file).string() + " " + std::to_string(size_) + " " +
           time_text(status.st_mtim) + " " + time_text(status.st_ctim);
  direct_fd_ =
      ::open(("/proc/self/fd/" + std::to_string(fd_)).c_str(), O_RDONLY | O_CLOEXEC | O_DIRECT);
  if (size_ == 0 || !may_see_cached_pages(fd_, status)) return;
  void* const at = ::mmap(nullptr, size_, PROT_NONE, MAP_SHARED, fd_, 0);
  if (at != MAP_FAILED) map_ = at;
}

FileReader::~FileReader() {
  if (map_ != nullptr) ::munmap(map_, size_);
  if (direct_fd_ >= 0) ::close(direct_fd_);
  ::close(fd_);
}

bool FileReader::is_cached(uint64_t offset, size_t size) const {
  if (map_ == nullptr || offset >= size_) return false;
  size = std::min<size_t>(size, size_ - offset);
  std::vector<unsigned char> resident((size + page - 1) / page);
  if (::mincore(static_cast<std::byte*>(map_) + offset, size, resident.data()) != 0) return false;
  return std::ranges::all_of(resident, [](unsigned char p) { return (p & 1) != 0; });
}

void FileReader::fail_read() const {
  throw_input("can't be read: " + std::string(std::strerror(errno)), path_.string());
}

void FileReader::fail_end(uint64_t found, uint64_t expected) const {
  throw_input("the file ends after " + std::to_string(found) + " bytes: expected at least " +
                  std::to_string(expected) + ", as when it was opened",
              path_.string());
}

const std::byte* FileReader::read(uint64_t offset, size_t size,
                                  std::span<std::byte> scratch) const {
  require(scratch.size() >= scratch_bytes(offset, size),
          "scratch too small for what is read from a file");
  // Direct reads want the address, the offset and the size in multiples of a page.
  const auto address = reinterpret_cast<uintptr_t>(scratch.data());
  std::byte* const to = scratch.data() + (page - address % page) % page;
  const uint64_t first = offset / page * page;
  const size_t wanted = size + offset % page, whole = (wanted + page - 1) / page * page;

  const bool cached = is_cached(first, whole);
  int fd = cached || direct_fd_ < 0 ? fd_ : direct_fd_;
  for (size_t done = 0; done < wanted;) {
    const ssize_t n = ::pread(fd, to + done, whole - done, static_cast<off_t>(first + done));
    if (n > 0) {
      done += static_cast<size_t>(n);
    } else if (n == 0) {
      fail_end(first + done, offset + size);
    } else if (errno == EINVAL && fd == direct_fd_) {
      fd = fd_;  // a file system that refuses direct reads only now, or the rest after a short one
    } else if (errno != EINTR) {
      fail_read();
    }
  }
  if (fd == fd_ && !cached)
    ::posix_fadvise(fd_, static_cast<off_t>(first), static_cast<off_t>(whole), POSIX_FADV_DONTNEED);
  return to + offset % page;
}

void FileReader::copy(uint64_t offset, std::span<std::byte> out) const {
  const uint64_t end = offset + out.size();
  while (!out.empty()) {
    const ssize_t n = ::pread(fd_, out.data(), out.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_read();
    if (n == 0) fail_end(offset, end);
    out = out.subspan(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
}

}  // namespace ktx::base
