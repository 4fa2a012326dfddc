// Reading large pieces of a file as fast as the disk gives them, without filling the page cache.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "core/base/file.hpp"

namespace ktx::base {

/// Reads from a file that is mapped already, by pread: a file that shrinks meanwhile is an error,
/// not a signal. What is not in the page cache is read past it (O_DIRECT), which is two to three
/// times as fast as through it and pushes nothing else out; file systems without that, and files
/// that are in the page cache anyway, are read through it. Several threads may read at once.
class FileReader {
 public:
  /// `file`, or what it was moved to, must outlive the reader.
  explicit FileReader(const MappedFile& file);
  ~FileReader();
  FileReader(FileReader&& other) noexcept;
  FileReader& operator=(FileReader&& other) = delete;

  /// Bytes of scratch that read() needs.
  static constexpr size_t scratch_bytes(size_t size) noexcept { return size + 3 * page; }

  /// Bytes [offset, offset + size) of the file, somewhere inside scratch, which must have
  /// scratch_bytes(size) bytes. They start at an address that is offset modulo 4096.
  /// Throws input error when the file ends before, or can't be read.
  const std::byte* read(uint64_t offset, size_t size, std::span<std::byte> scratch) const;

  /// Text that changes whenever the file's content does: its size and the times of its last change
  /// (mtime, ctime) in nanoseconds, as it was opened.
  const std::string& stamp() const noexcept { return stamp_; }

 private:
  static constexpr size_t page = 4096;

  bool is_cached(uint64_t offset, size_t size) const;

  std::string path_, stamp_;
  int fd_ = -1;                     // the mapped file's
  int direct_fd_ = -1;              // with O_DIRECT, owned
  const std::byte* map_ = nullptr;  // to ask for pages that are cached; never read through
  size_t map_size_ = 0;
};

}  // namespace ktx::base
