// Control characters are those of ASCII, and U+0080 to U+009F, which terminals take as well.
#include "core/base/printable.hpp"

#include <array>
#include <cstdio>

namespace ktx::base {

std::string printable(std::string_view text) {
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    auto byte = static_cast<unsigned char>(text[i]);
    const auto next = static_cast<unsigned char>(i + 1 < text.size() ? text[i + 1] : 0);
    const bool wide = byte == 0xc2 && next >= 0x80 && next < 0xa0;
    if (byte >= 0x20 && byte != 0x7f && !wide) {
      out += text[i];
      continue;
    }
    if (wide) byte = next, ++i;
    std::array<char, 8> code{};
    std::snprintf(code.data(), code.size(), "\\x%02x", byte);
    out += byte == '\n' ? "\\n" : byte == '\t' ? "\\t" : code.data();
  }
  return out;
}

}  // namespace ktx::base
