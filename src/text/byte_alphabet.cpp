// The alphabet as two tables.
#include "text/byte_alphabet.hpp"

#include <array>
#include <cstdint>

#include "text/unicode.hpp"

namespace ktx::text {

namespace {

constexpr size_t letters = 0x100 + 68;  // codepoints are below this

struct Tables {
  std::array<char32_t, 256> letter{};
  std::array<int16_t, letters> byte{};
};

constexpr Tables make_tables() {
  Tables t;
  for (auto& b : t.byte) b = -1;
  char32_t next = 0x100;
  for (char32_t b = 0; b < 256; ++b) {
    const bool itself = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
    t.letter[b] = itself ? b : next++;
    t.byte[t.letter[b]] = static_cast<int16_t>(b);
  }
  return t;
}
constexpr Tables tables = make_tables();

}  // namespace

std::string to_byte_alphabet(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const char b : bytes) append_utf8(out, tables.letter[static_cast<unsigned char>(b)]);
  return out;
}

std::optional<std::string> from_byte_alphabet(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const auto step = utf8_step(text);
    if (step.kind != Utf8Step::valid || step.codepoint >= letters) return std::nullopt;
    const int byte = tables.byte[step.codepoint];
    if (byte < 0) return std::nullopt;
    out += static_cast<char>(byte);
    text.remove_prefix(step.size);
  }
  return out;
}

}  // namespace ktx::text
