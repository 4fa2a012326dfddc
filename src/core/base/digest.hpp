// A cryptographic digest, to address data by its content: nobody can make other data of the same
// name. The door to OpenSSL.
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

/// SHA-256. Of large data better a digest of the digests of blocks, by several threads: a core
/// hashes 1.5 to 2 GB/s with the SHA instructions that CPUs have since Ice Lake and Zen, without
/// them 0.4 GB/s. Throws environment error when OpenSSL refuses.
Digest digest(std::span<const std::byte> bytes);
Digest digest(std::string_view text);

}  // namespace ktx::base
