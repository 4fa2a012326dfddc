// A file as memory, and what the process should say when the file is cut off meanwhile.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>

namespace ktx::base {

/// A read-only mapping of a whole file.
///
/// Touching a page that the file no longer has is SIGBUS. No library should handle that signal for
/// the whole process, so the program may: ktx::mapped_file_at() tells it which file it was.
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

  /// Hints to the kernel. Asks for 2 MiB pages, where the file system has them, for what is not in
  /// memory yet.
  void prefer_huge_pages() const noexcept;
  /// Brings the range into memory. Returns when it is there, or the kernel can't do it.
  void populate(size_t offset, size_t size) const noexcept;

 private:
  void close() noexcept;

  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace ktx::base
