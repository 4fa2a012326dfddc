// A cryptographic digest, to address data by its content: nobody can construct other data with the
// same digest. Only this file's source includes OpenSSL's digests.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace ktx::base {

struct Digest {
  std::array<uint8_t, 32> bytes{};

  bool operator==(const Digest&) const = default;
  std::string hex() const;  // 64 digits
};

/// SHA-256. For large data prefer a digest of the digests of blocks, computed by several threads: a
/// core hashes 1.5 to 2 GB/s with the SHA instructions of CPUs since Ice Lake and Zen, 0.4 GB/s
/// without them. Throws environment error when OpenSSL fails.
Digest digest(std::span<const std::byte> bytes);
Digest digest(std::string_view text);

}  // namespace ktx::base
