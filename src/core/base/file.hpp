// Files: read whole, map read-only, write so that a failure leaves no half file.
#pragma once

#include <cstddef>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace ktx::base {

/// The whole file as text. Throws input error when it can't be read.
std::string read_text(const std::filesystem::path& file);

/// Writes a new file of a name of its own in `file`'s folder, syncs, renames it over `file`, whose
/// permissions it takes on. On failure (a full disk, say) it is removed and an environment error is
/// thrown; an existing `file` stays as it was.
void write_file(const std::filesystem::path& file, std::string_view bytes);

/// A read-only mapping of a whole file.
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

  /// Asks the kernel to read the range ahead / to drop its pages. Byte offsets; hints only.
  void prefetch(size_t offset, size_t size) const noexcept;
  void release(size_t offset, size_t size) const noexcept;

 private:
  std::filesystem::path path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace ktx::base
