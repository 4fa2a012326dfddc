// Files through POSIX calls.
#include "core/base/file.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>
#include <utility>

#include "core/base/error.hpp"

namespace ktx::base {
namespace fs = std::filesystem;

namespace {

std::string why() { return std::strerror(errno); }

struct Descriptor {
  int fd = -1;
  ~Descriptor() {
    if (fd >= 0) ::close(fd);
  }
};

// Writes all bytes and flushes them to the disk; empty on success, else the reason.
std::string write_all(const fs::path& file, std::string_view bytes) {
  const Descriptor out{::open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644)};
  if (out.fd < 0) return why();
  while (!bytes.empty()) {
    const ssize_t n = ::write(out.fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return why();
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  // A pipe or a character device can't be synced (EINVAL): nothing to wait for there.
  if (::fsync(out.fd) != 0 && errno != EINVAL) return why();
  return {};
}

}  // namespace

std::string read_text(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  std::error_code ec;
  if (!in || fs::is_directory(file, ec)) throw_input("can't be read: " + why(), file.string());
  std::ostringstream text;
  text << in.rdbuf();
  return std::move(text).str();
}

void write_file(const fs::path& file, std::string_view bytes) {
  std::error_code ec;
  const bool special = fs::exists(file, ec) && !fs::is_regular_file(file, ec);
  if (special) {  // /dev/stdout and the like: nothing to rename
    if (auto reason = write_all(file, bytes); !reason.empty())
      throw_environment("can't be written: " + reason, file.string());
    return;
  }
  fs::path partial = file;
  partial += ".partial";
  std::string reason = write_all(partial, bytes);
  if (reason.empty() && ::rename(partial.c_str(), file.c_str()) != 0) reason = why();
  if (reason.empty()) return;
  ::unlink(partial.c_str());
  throw_environment("can't be written: " + reason, file.string());
}

MappedFile::MappedFile(const fs::path& file) : path_(file) {
  const Descriptor in{::open(file.c_str(), O_RDONLY | O_CLOEXEC)};
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
// madvise wants page-aligned ranges: prefetch grows to whole pages, release shrinks to them.
void advise(const std::byte* data, size_t begin, size_t end, int advice) noexcept {
  if (data != nullptr && begin < end)
    ::madvise(const_cast<std::byte*>(data) + begin, end - begin, advice);
}
size_t page() noexcept { return static_cast<size_t>(::sysconf(_SC_PAGESIZE)); }
}  // namespace

void MappedFile::prefetch(size_t offset, size_t size) const noexcept {
  advise(data_, offset / page() * page(), offset + size, MADV_WILLNEED);
}

void MappedFile::release(size_t offset, size_t size) const noexcept {
  const size_t p = page();
  advise(data_, (offset + p - 1) / p * p, (offset + size) / p * p, MADV_DONTNEED);
}

}  // namespace ktx::base
