// Memory-mapped files.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

namespace ktx::base {

/// A read-only mapping of a whole file.
///
/// If the file is truncated, touching a page beyond its new end raises SIGBUS. A library should not
/// handle that signal for the whole process, so the program may: ktx::mapped_file_at() tells it
/// which file it was.
class MappedFile {
 public:
  MappedFile() = default;
  /// Throws input error when the file can't be opened or is not a regular file.
  explicit MappedFile(const std::filesystem::path& file);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;

  std::span<const std::byte> bytes() const noexcept { return {data_, size_}; }
  const std::filesystem::path& path() const noexcept { return path_; }

  /// A hint to the kernel: use 2 MiB pages, if the file system has them, for what is not yet in
  /// memory.
  void prefer_huge_pages() const noexcept;
  /// Reads the range into memory. Returns when it is there, or if the kernel can't do it.
  void populate(size_t offset, size_t size) const noexcept;

 private:
  void close() noexcept;

  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace ktx::base
