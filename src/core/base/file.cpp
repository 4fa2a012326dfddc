// Files through POSIX calls.
#include "core/base/file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "core/base/error.hpp"

namespace ktx::base {
namespace fs = std::filesystem;

namespace {

std::string why() {
  return std::strerror(errno);
}

struct Descriptor {
  int fd = -1;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

// Writes all bytes and flushes them to the disk; empty on success, else the reason.
std::string write_all(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return why();
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  // A pipe or a character device can't be synced (EINVAL): nothing to wait for there.
  if (::fsync(fd) != 0 && errno != EINVAL) return why();
  return {};
}

// /dev/stdout and the like: nothing to rename.
std::string write_special(const fs::path& file, std::string_view bytes) {
  const Descriptor out{::open(file.c_str(), O_WRONLY | O_CLOEXEC)};
  return out.fd < 0 ? why() : write_all(out.fd, bytes);
}

// A file that did not exist before, open for writing, in the folder of `file`; fd < 0 on failure.
// mkstemp would do, but for the umask, which only open applies.
int create_beside(const fs::path& file, mode_t mode, fs::path& created) {
  static std::atomic<unsigned> next{0};
  for (int attempt = 0; attempt < 1000; ++attempt) {
    created = file.parent_path() /
              (".ktx-" + std::to_string(::getpid()) + "-" + std::to_string(next++) + ".partial");
    const int fd = ::open(created.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd >= 0 || errno != EEXIST) return fd;
  }
  return -1;
}

// Where a link leads; a link that leads nowhere gives way to the file.
fs::path link_target(const fs::path& file) {
  std::error_code ec;
  const fs::path real = fs::is_symlink(file, ec) ? fs::weakly_canonical(file, ec) : file;
  return ec || real.empty() ? file : real;
}

}  // namespace

std::string read_text(const fs::path& file) {
  const Descriptor in{::open(file.c_str(), O_RDONLY | O_CLOEXEC)};
  if (in.fd < 0) throw_input("can't be read: " + why(), file.string());
  std::string text;
  std::vector<char> part(size_t{1} << 16);
  for (;;) {
    const ssize_t n = ::read(in.fd, part.data(), part.size());
    if (n == 0) return text;
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) throw_input("can't be read: " + why(), file.string());
    text.append(part.data(), static_cast<size_t>(n));
  }
}

PartialFile::PartialFile(const fs::path& file) : file_(file), target_(link_target(file)) {
  struct stat old {};
  replaces_ = ::stat(target_.c_str(), &old) == 0;
  if (replaces_) mode_ = old.st_mode & 0777;
  fd_ = create_beside(target_, mode_, partial_);
  if (fd_ < 0) fail();
}

PartialFile::~PartialFile() {
  if (fd_ < 0) return;
  ::close(fd_);
  ::unlink(partial_.c_str());
}

void PartialFile::fail() const {
  throw_environment("can't be written: " + why(), file_.string());
}

void PartialFile::resize(uint64_t size) {
  if (::ftruncate(fd_, static_cast<off_t>(size)) != 0) fail();
}

void PartialFile::write(uint64_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail();
    bytes = bytes.subspan(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
}

void PartialFile::commit() {
  if (::fsync(fd_) != 0) fail();
  if (replaces_ && ::fchmod(fd_, mode_) != 0) fail();
  if (::rename(partial_.c_str(), target_.c_str()) != 0) fail();
  ::close(std::exchange(fd_, -1));
}

void write_file(const fs::path& file, std::string_view bytes) {
  std::error_code ec;
  if (fs::exists(file, ec) && !fs::is_regular_file(file, ec)) {
    const auto reason = write_special(file, bytes);
    if (!reason.empty()) throw_environment("can't be written: " + reason, file.string());
    return;
  }
  PartialFile partial(file);
  partial.write(0, std::as_bytes(std::span(bytes)));
  partial.commit();
}

MappedFile::MappedFile(const fs::path& file) : path_(file) {
  // Opening a named pipe would wait for its writer.
  const Descriptor in{::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (in.fd < 0) throw_input("can't be opened: " + why(), file.string());
  struct stat status {};
  if (::fstat(in.fd, &status) != 0) throw_input("can't be read: " + why(), file.string());
  if (!S_ISREG(status.st_mode)) throw_input("expected a regular file", file.string());
  size_ = static_cast<size_t>(status.st_size);
  if (size_ == 0) return;
  void* at = ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, in.fd, 0);
  if (at == MAP_FAILED) throw_environment("can't be mapped: " + why(), file.string());
  data_ = static_cast<const std::byte*>(at);
}

MappedFile::~MappedFile() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

MappedFile::MappedFile(MappedFile&& other) noexcept
    : path_(std::move(other.path_)),
      data_(std::exchange(other.data_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

MappedFile& MappedFile::operator=(MappedFile&& other) noexcept {
  if (this != &other) {
    if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
    path_ = std::move(other.path_);
    data_ = std::exchange(other.data_, nullptr);
    size_ = std::exchange(other.size_, 0);
  }
  return *this;
}

namespace {

size_t page() noexcept {
  return static_cast<size_t>(::sysconf(_SC_PAGESIZE));
}

void advise(const std::byte* data, size_t begin, size_t end, int advice) noexcept {
  if (data != nullptr && begin < end)
    ::madvise(const_cast<std::byte*>(data) + begin, end - begin, advice);
}

// The end of a range, inside a file of `total` bytes.
size_t end_of(size_t offset, size_t size, size_t total) noexcept {
  return offset >= total ? total : offset + std::min(size, total - offset);
}

}  // namespace

// madvise wants page-aligned ranges: prefetch grows to whole pages, release shrinks to them.
// Neither may leave the mapping: beyond it lies other memory of the process.
void MappedFile::prefetch(size_t offset, size_t size) const noexcept {
  advise(data_, offset / page() * page(), end_of(offset, size, size_), MADV_WILLNEED);
}

void MappedFile::release(size_t offset, size_t size) const noexcept {
  const size_t p = page();
  const size_t end = end_of(offset, size, size_);
  if (offset >= end) return;
  const size_t last = end == size_ ? (end + p - 1) / p * p : end / p * p;
  advise(data_, (offset + p - 1) / p * p, last, MADV_DONTNEED);
}

}  // namespace ktx::base
