// A fast 128-bit digest, to address data by its content. Not for use against forgers.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace ktx::base {

struct Digest {
  uint64_t high = 0, low = 0;

  bool operator==(const Digest&) const = default;
  std::string hex() const;  // 32 digits
};

/// The same on every machine of the same byte order; about as fast as memory is read.
Digest digest(std::span<const std::byte> bytes) noexcept;
Digest digest(std::string_view text) noexcept;

}  // namespace ktx::base
