// Python's escapes, but for \N{...}.
#include "text/jinja/string_literal.hpp"

#include <charconv>

#include "text/unicode.hpp"

namespace ktx::text::jinja {

namespace {

bool is_character(unsigned code) {
  return code < 0xD800 || (code >= 0xE000 && code <= 0x10FFFF);
}

// Reads a code of up to `most` digits at `at` and advances it past them.
std::optional<unsigned> read_code(std::string_view text, size_t& at, size_t most, int base) {
  unsigned code = 0;
  const char* begin = text.data() + at;
  const auto digits = text.substr(at, most);
  const auto read = std::from_chars(begin, begin + digits.size(), code, base);
  const auto size = static_cast<size_t>(read.ptr - begin);
  if (read.ec != std::errc{} || (base == 16 && size != most) || !is_character(code))
    return std::nullopt;
  at += size;
  return code;
}

char simple_escape(char c) {
  constexpr std::string_view letters = "\\'\"abfnrtv", meanings = "\\'\"\a\b\f\n\r\t\v";
  const size_t found = letters.find(c);
  return found == std::string_view::npos ? '\0' : meanings[found];
}

}  // namespace

std::optional<std::string> unescaped(std::string_view literal) {
  std::string out;
  for (size_t at = 0; at < literal.size();) {
    const size_t escape = literal.find('\\', at);
    if (escape == std::string_view::npos || escape + 1 == literal.size()) {
      out += literal.substr(at);
      break;
    }
    out += literal.substr(at, escape - at);
    const char c = literal[escape + 1];
    at = escape + 2;
    if (const char meaning = simple_escape(c); meaning != '\0') {
      out += meaning;
      continue;
    }
    if (c == '\n') continue;  // the line goes on
    const size_t hex_digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    const bool octal = c >= '0' && c <= '7';
    if (hex_digits == 0 && !octal) {
      out += '\\';
      out += c;
      continue;
    }
    if (octal) --at;
    const auto code = octal ? read_code(literal, at, 3, 8) : read_code(literal, at, hex_digits, 16);
    if (!code) return std::nullopt;
    append_utf8(out, *code);
  }
  return out;
}

}  // namespace ktx::text::jinja
