// Files: read whole, write so that a failure leaves no half file.
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

/// Writes a new file of a name of its own in `file`'s folder, syncs, renames it over `file`, whose
/// permissions it takes on. On failure (a full disk, say) it is removed and an environment error is
/// thrown; an existing `file` stays as it was.
void write_file(const std::filesystem::path& file, std::string_view bytes);
/// The same of several pieces, one after another.
void write_file(const std::filesystem::path& file, std::span<const std::string_view> pieces);

/// Removes from a folder what write_file left there when it was killed, not what it is writing now.
void remove_partial_files(const std::filesystem::path& folder) noexcept;

/// A file under construction: a new one of a name of its own in `file`'s folder, which commit()
/// renames over `file`. Without commit() it is removed and an existing `file` stays as it was.
/// What fails throws an environment error that names `file`.
class PartialFile {
 public:
  /// An existing `file` gives it its permissions.
  explicit PartialFile(const std::filesystem::path& file);
  ~PartialFile();
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;

  /// Makes it that many bytes long; what is not written reads as zeros.
  void resize(uint64_t size);
  /// May be called from several threads at once.
  void write(uint64_t offset, std::span<const std::byte> bytes);
  /// Flushes it to the disk and renames it.
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
