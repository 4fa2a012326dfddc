// Reading whole files, and writing files atomically.
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace ktx::base {

/// The whole file as text. Throws input error when it can't be read.
std::string read_text(const std::filesystem::path& file);

/// Writes a temporary file in `file`'s folder, syncs it, and renames it over `file`, keeping the
/// permissions of an existing one. On failure (a full disk, say) the temporary file is removed and
/// an environment error is thrown; an existing `file` stays as it was.
void write_file(const std::filesystem::path& file, std::string_view bytes);
/// The same for several pieces, one after another.
void write_file(const std::filesystem::path& file, std::span<const std::string_view> pieces);

/// Removes temporary files that killed processes left in a folder, but not those being written now.
void remove_partial_files(const std::filesystem::path& folder) noexcept;

/// A file under construction: a temporary file in `file`'s folder that commit() renames over
/// `file`. Without commit() it is removed and an existing `file` stays as it was. Failures throw
/// environment errors that name `file`.
class PartialFile {
 public:
  /// Keeps the permissions of an existing `file`.
  explicit PartialFile(const std::filesystem::path& file);
  ~PartialFile();
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;

  /// Sets its size in bytes; parts that are never written read as zeros.
  void resize(uint64_t size);
  /// May be called from several threads at once.
  void write(uint64_t offset, std::span<const std::byte> bytes);
  /// Flushes it to disk and renames it.
  void commit();

 private:
  [[noreturn]] void fail() const;

  std::filesystem::path file_, target_, partial_;
  int fd_ = -1;
  mode_t mode_ = 0644;
  bool replaces_ = false;
};

/// Opens a file for reading. Throws input error when it can't be opened or is not a regular file.
int open_regular_file(const std::filesystem::path& file, struct stat& status);

}  // namespace ktx::base
