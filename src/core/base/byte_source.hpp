// Bytes that are read by their place: a file's, or some that are made as they are asked for.
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
  /// Bytes [offset, offset + size), inside scratch, or in memory that lasts as long as the source.
  /// Throws input error when they are not there or can't be read.
  virtual const std::byte* read(uint64_t offset, size_t size,
                                std::span<std::byte> scratch) const = 0;
  /// Text that changes whenever the bytes do.
  virtual std::string stamp() const = 0;
};

}  // namespace ktx::base
