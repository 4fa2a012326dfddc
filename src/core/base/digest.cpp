// SHA-256 of OpenSSL.
#include "core/base/digest.hpp"

#include <openssl/evp.h>

#include "core/base/error.hpp"

namespace ktx::base {

Digest digest(std::span<const std::byte> bytes) {
  Digest out;
  unsigned size = 0;
  const int done =
      ::EVP_Digest(bytes.data(), bytes.size(), out.bytes.data(), &size, ::EVP_sha256(), nullptr);
  if (done != 1 || size != out.bytes.size()) throw_environment("OpenSSL has no SHA-256");
  return out;
}

Digest digest(std::string_view text) {
  return digest(std::as_bytes(std::span(text)));
}

std::string Digest::hex() const {
  constexpr std::string_view digits = "0123456789abcdef";
  std::string text;
  for (const uint8_t byte : bytes) {
    text += digits[byte >> 4];
    text += digits[byte & 15];
  }
  return text;
}

}  // namespace ktx::base
