// Reading large pieces of a file as fast as the disk gives them, without filling the page cache.
#pragma once

#include <filesystem>
#include <string>

#include "core/base/byte_source.hpp"

namespace ktx::base {

/// A file that is read by pread: one that shrinks meanwhile is an error, not a signal. What is not
/// in the page cache is read past it (O_DIRECT), which is two to three times as fast as through it
/// and pushes nothing else out; file systems without that, and files that are in the page cache
/// anyway, are read through it.
class FileReader final : public ByteSource {
 public:
  /// Throws input error when the file can't be opened or is not a regular file.
  explicit FileReader(const std::filesystem::path& file);
  ~FileReader() override;
  FileReader(const FileReader&) = delete;
  FileReader& operator=(const FileReader&) = delete;

  const std::filesystem::path& path() const noexcept { return path_; }
  /// As it was opened.
  uint64_t size() const noexcept override { return size_; }
  size_t scratch_bytes(uint64_t, size_t size) const noexcept override { return size + 3 * page; }
  /// They start at an address that is offset modulo 4096.
  const std::byte* read(uint64_t offset, size_t size, std::span<std::byte> scratch) const override;
  /// Where it lies, its size, and the times of the last change (mtime, ctime) in nanoseconds, as it
  /// was opened.
  std::string stamp() const override { return stamp_; }

  /// The bytes from offset on, through the page cache: for headers, which the next start reads
  /// too. Throws as read() does.
  void copy(uint64_t offset, std::span<std::byte> out) const;

 private:
  static constexpr size_t page = 4096;

  bool is_cached(uint64_t offset, size_t size) const;
  [[noreturn]] void fail_read() const;
  [[noreturn]] void fail_end(uint64_t found, uint64_t expected) const;

  std::filesystem::path path_;
  std::string stamp_;
  uint64_t size_ = 0;
  int fd_ = -1;
  int direct_fd_ = -1;   // with O_DIRECT; -1: the file system refuses it
  void* map_ = nullptr;  // without access, to ask which pages are cached
};

}  // namespace ktx::base
