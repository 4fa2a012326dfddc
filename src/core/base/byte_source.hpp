// Random access to bytes: those of a file, or bytes that are generated on demand.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace ktx::base {

/// Several threads may read at once.
class ByteSource {
 public:
  virtual ~ByteSource() = default;

  virtual uint64_t size() const noexcept = 0;
  /// Bytes of scratch that read() needs.
  virtual size_t scratch_bytes(uint64_t offset, size_t size) const noexcept = 0;
  /// Bytes [offset, offset + size), either within scratch or in memory that lives as long as the
  /// source. Throws input error when they don't exist or can't be read.
  virtual const std::byte* read(uint64_t offset, size_t size,
                                std::span<std::byte> scratch) const = 0;
  /// A text that changes whenever the bytes do.
  virtual std::string stamp() const = 0;
};

}  // namespace ktx::base
