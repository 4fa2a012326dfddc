// One safetensors file: its tensor table, read and checked, and the bytes of each tensor.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/file_reader.hpp"
#include "core/quant/format.hpp"

namespace ktx::loader {

struct SafetensorsEntry {
  std::string name;
  std::string dtype;           // as in the file: "BF16", "I32", ...
  std::vector<int64_t> shape;  // outermost first; empty for a scalar
  uint64_t offset = 0;         // of its first byte in the file
  uint64_t size = 0;           // bytes
};

/// A safetensors file (huggingface.co/docs/safetensors: 8 bytes of header size, a JSON
/// header, the data without overlaps or holes).
class SafetensorsFile {
 public:
  /// Throws input error on anything malformed, and, unless header_only, when the file ends before
  /// its tensors do.
  explicit SafetensorsFile(const std::filesystem::path& file, bool header_only = false);

  const std::filesystem::path& path() const noexcept { return file_->path(); }
  /// In the order of their data.
  const std::vector<SafetensorsEntry>& entries() const noexcept { return entries_; }
  /// The entry of that name, or nullptr.
  const SafetensorsEntry* find(std::string_view name) const noexcept;
  /// A copy of its bytes. Not for a file opened with header_only.
  std::vector<std::byte> bytes(const SafetensorsEntry& entry) const;

  /// The opened file, for who keeps it longer than this object, which must not be used afterwards.
  std::unique_ptr<base::FileReader> take_file() noexcept { return std::move(file_); }

 private:
  std::unique_ptr<base::FileReader> file_;
  std::vector<SafetensorsEntry> entries_;
};

/// Bits of a number of the dtype; nothing when it is unknown.
std::optional<int> bits_of_dtype(std::string_view dtype) noexcept;

/// The format of a dtype whose rows ktx reads; fp8 for F8_E4M3, whose scales are a tensor apart.
std::optional<quant::Format> format_of_dtype(std::string_view dtype) noexcept;

}  // namespace ktx::loader
