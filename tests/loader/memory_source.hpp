// Bytes in memory as a file, for tests of assemblies.
#pragma once

#include <cstring>
#include <string>
#include <utility>

#include "loader/assembly.hpp"

namespace ktx::loader {

class MemorySource final : public base::ByteSource {
 public:
  explicit MemorySource(std::string bytes) : bytes_(std::move(bytes)) {}

  uint64_t size() const noexcept override { return bytes_.size(); }
  size_t scratch_bytes(uint64_t, size_t size) const noexcept override { return size; }
  const std::byte* read(uint64_t offset, size_t size, std::span<std::byte> scratch) const override {
    std::memcpy(scratch.data(), bytes_.data() + offset, size);
    return scratch.data();
  }
  std::string stamp() const override { return ""; }

  /// All of it, as rows of so many bytes.
  StoredRows rows(uint64_t row_bytes) const { return {this, {0, 0, bytes_.size()}, row_bytes}; }

 private:
  std::string bytes_;
};

/// The weights of some rows.
inline std::vector<float> weights_of(const Assembly& assembly, int64_t first, int64_t rows,
                                     int64_t cols) {
  std::vector<std::byte> scratch(assembly.scratch_bytes(first, rows) + 1, std::byte{0xee});
  const std::byte* stored = assembly.rows(first, rows, std::span(scratch).subspan(1));
  std::vector<float> out(static_cast<size_t>(rows * cols));
  for (int64_t r = 0; r < rows; ++r)
    quant::info(assembly.format())
        .decode(stored + r * quant::row_bytes(assembly.format(), cols), out.data() + r * cols,
                cols);
  return out;
}

}  // namespace ktx::loader
