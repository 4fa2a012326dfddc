// Files through POSIX calls.
#include "core/base/file.hpp"

#include <fcntl.h>
#include <sys/file.h>
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

using Pieces = std::span<const std::string_view>;

// Writes all bytes and flushes them to the disk; empty on success, else the reason.
std::string write_all(int fd, Pieces pieces) {
  for (std::string_view bytes : pieces)
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
std::string write_special(const fs::path& file, Pieces pieces) {
  const Descriptor out{::open(file.c_str(), O_WRONLY | O_CLOEXEC)};
  return out.fd < 0 ? why() : write_all(out.fd, pieces);
}

constexpr off_t sync_at_once = off_t{1} << 20;

constexpr std::string_view partial_start = ".ktx-", partial_end = ".partial";

// Takes the lock that lasts as long as the file's writer lives. False when remove_partial_files
// took the file, still without a lock, for one that a killed writer left.
bool lock_for_writing(int fd) {
  while (::flock(fd, LOCK_EX) != 0 && errno == EINTR) {
  }
  struct stat status {};
  return ::fstat(fd, &status) != 0 || status.st_nlink > 0;
}

// A file that did not exist before, open for writing, in the folder of `file`; fd < 0 on failure.
// mkstemp would do, but for the umask, which only open applies.
int create_beside(const fs::path& file, mode_t mode, fs::path& created) {
  static std::atomic<unsigned> next{0};
  for (int attempt = 0; attempt < 1000; ++attempt) {
    created = file.parent_path() / (std::string(partial_start) + std::to_string(::getpid()) + "-" +
                                    std::to_string(next++) + std::string(partial_end));
    const int fd = ::open(created.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0 && errno != EEXIST) return fd;
    if (fd >= 0 && lock_for_writing(fd)) return fd;
    if (fd >= 0) ::close(fd);
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
  const auto first = static_cast<off_t>(offset), size = static_cast<off_t>(bytes.size());
  while (!bytes.empty()) {
    const ssize_t n = ::pwrite(fd_, bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail();
    bytes = bytes.subspan(static_cast<size_t>(n));
    offset += static_cast<uint64_t>(n);
  }
  // A large file goes to the disk from now on, so that commit() has not all of it to wait for.
  if (size >= sync_at_once) ::sync_file_range(fd_, first, size, SYNC_FILE_RANGE_WRITE);
}

void PartialFile::commit() {
  if (::fsync(fd_) != 0) fail();
  if (replaces_ && ::fchmod(fd_, mode_) != 0) fail();
  if (::rename(partial_.c_str(), target_.c_str()) != 0) fail();
  ::close(std::exchange(fd_, -1));
}

void write_file(const fs::path& file, std::string_view bytes) {
  write_file(file, Pieces(&bytes, 1));
}

void write_file(const fs::path& file, Pieces pieces) {
  std::error_code ec;
  if (fs::exists(file, ec) && !fs::is_regular_file(file, ec)) {
    const auto reason = write_special(file, pieces);
    if (!reason.empty()) throw_environment("can't be written: " + reason, file.string());
    return;
  }
  PartialFile partial(file);
  uint64_t offset = 0;
  for (const std::string_view piece : pieces) {
    partial.write(offset, std::as_bytes(std::span(piece)));
    offset += piece.size();
  }
  partial.commit();
}

void remove_partial_files(const fs::path& folder) noexcept {
  std::error_code ec;
  for (fs::directory_iterator at(folder, ec), end; !ec && at != end; at.increment(ec)) {
    const auto name = at->path().filename().native();
    if (!name.starts_with(partial_start) || !name.ends_with(partial_end)) continue;
    const Descriptor file{::open(at->path().c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
    if (file.fd >= 0 && ::flock(file.fd, LOCK_EX | LOCK_NB) == 0) ::unlink(at->path().c_str());
  }
}

int open_regular_file(const fs::path& file, struct stat& status) {
  // Opening a named pipe would wait for its writer.
  Descriptor in{::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (in.fd < 0) throw_input("can't be opened: " + why(), file.string());
  if (::fstat(in.fd, &status) != 0) throw_input("can't be read: " + why(), file.string());
  if (!S_ISREG(status.st_mode)) throw_input("expected a regular file", file.string());
  return std::exchange(in.fd, -1);
}

}  // namespace ktx::base
