// Parses "<0x", two hexadecimal digits, ">".
#include "text/byte_tokens.hpp"

#include <charconv>

namespace ktx::text {

std::optional<uint8_t> byte_of_token(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || !token.ends_with('>')) return std::nullopt;
  uint8_t byte = 0;
  const char* end = token.data() + 5;
  const auto read = std::from_chars(token.data() + 3, end, byte, 16);
  return read.ec == std::errc{} && read.ptr == end ? std::optional(byte) : std::nullopt;
}

}  // namespace ktx::text
