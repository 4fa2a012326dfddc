// Reads large pieces of a file at the speed of the disk, without filling the page cache.
#pragma once

#include <filesystem>
#include <string>

#include "core/base/byte_source.hpp"

namespace ktx::base {

/// A file read by pread, so that a file which shrinks meanwhile is an error and not a SIGBUS. Parts
/// that are not in the page cache are read past it (O_DIRECT): this is two to three times as fast
/// and evicts nothing. Cached files, and file systems without O_DIRECT, are read through it.
class FileReader final : public ByteSource {
 public:
  /// Throws input error when the file can't be opened or is not a regular file.
  explicit FileReader(const std::filesystem::path& file);
  ~FileReader() override;
  FileReader(const FileReader&) = delete;
  FileReader& operator=(const FileReader&) = delete;

  const std::filesystem::path& path() const noexcept { return path_; }
  /// When it was opened.
  uint64_t size() const noexcept override { return size_; }
  size_t scratch_bytes(uint64_t, size_t size) const noexcept override { return size + 3 * page; }
  /// The address of the bytes is congruent to offset modulo 4096.
  const std::byte* read(uint64_t offset, size_t size, std::span<std::byte> scratch) const override;
  /// Its path, size, and times of the last change (mtime, ctime) in nanoseconds when it was opened.
  std::string stamp() const override { return stamp_; }

  /// Copies the bytes from offset on, through the page cache: for headers, which the next start
  /// reads again. Throws as read() does.
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
