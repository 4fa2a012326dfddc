// Parsing and rounding numbers.
#include "text/jinja/numbers.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "core/base/error.hpp"
#include "text/unicode.hpp"

namespace ktx::text::jinja {

namespace {

// The text without surrounding white space and single underscores between digits; nothing if it has
// other underscores.
std::optional<std::string> plain_digits(std::string_view text) {
  const std::string all = stripped(Text(std::string(text)), nullptr).bytes();
  std::string out;
  for (size_t i = 0; i < all.size(); ++i) {
    const auto is_digit = [&](size_t at) {
      return at < all.size() && std::isalnum(static_cast<unsigned char>(all[at])) != 0;
    };
    if (all[i] != '_')
      out += all[i];
    else if (i == 0 || !is_digit(i - 1) || !is_digit(i + 1))
      return std::nullopt;
  }
  return out;
}

std::optional<double> parse_float(std::string_view text) {
  auto digits = plain_digits(text);
  if (!digits || digits->empty()) return std::nullopt;
  std::string_view rest = *digits;
  const bool negative = rest[0] == '-';
  if (rest[0] == '-' || rest[0] == '+') rest.remove_prefix(1);
  double value = 0;
  const auto read = std::from_chars(rest.data(), rest.data() + rest.size(), value);
  if (rest.empty() || rest[0] == '-' || read.ptr != rest.data() + rest.size() ||
      rest.find('(') != std::string_view::npos)
    return std::nullopt;
  if (read.ec == std::errc::result_out_of_range)
    value = std::strtod(std::string(rest).c_str(), nullptr);
  return negative ? -value : value;
}

}  // namespace

std::optional<int64_t> parse_integer(std::string_view text, int64_t base) {
  if (base != 0 && (base < 2 || base > 36)) throw_input("int() base must be >= 2 and <= 36, or 0");
  auto digits = plain_digits(text);
  if (!digits || digits->empty()) return std::nullopt;
  std::string_view rest = *digits;
  const bool negative = rest[0] == '-';
  if (rest[0] == '-' || rest[0] == '+') rest.remove_prefix(1);
  if (rest.size() > 2 && rest[0] == '0') {
    const char prefix = static_cast<char>(rest[1] | 0x20);
    const int64_t named = prefix == 'x' ? 16 : prefix == 'o' ? 8 : prefix == 'b' ? 2 : 0;
    if (named != 0 && (base == named || base == 0)) {
      base = named;
      rest.remove_prefix(2);
    }
  }
  if (base == 0) base = 10;
  std::string signed_digits = (negative ? "-" : "") + std::string(rest);
  if (rest.empty() || rest[0] == '-' || rest[0] == '+') return std::nullopt;
  int64_t value = 0;
  const char* end = signed_digits.data() + signed_digits.size();
  const auto read = std::from_chars(signed_digits.data(), end, value, static_cast<int>(base));
  if (read.ptr != end) return std::nullopt;
  if (read.ec == std::errc::result_out_of_range) throw_input("an integer has more than 64 bits");
  return value;
}

std::optional<double> to_number(const Value& value) {
  if (value.is_numeric()) return value.number();
  return value.is_string() ? parse_float(value.bytes()) : std::nullopt;
}

Value rounded(const Value& value, int64_t digits) {
  if (digits >= 0) {
    if (value.is_integral()) return value.integral();
    if (!std::isfinite(value.number())) return value;
    std::string shown(static_cast<size_t>(std::snprintf(nullptr, 0, "%.*f",
                                                        static_cast<int>(digits), value.number())),
                      '\0');
    std::snprintf(shown.data(), shown.size() + 1, "%.*f", static_cast<int>(digits), value.number());
    return std::strtod(shown.c_str(), nullptr);
  }
  const double scale = std::pow(10.0, static_cast<double>(-digits));
  const double out = std::nearbyint(value.number() / scale) * scale;
  if (!value.is_integral()) return out;
  if (std::fabs(out) >= 9.2e18) throw_input("an integer has more than 64 bits");
  return static_cast<int64_t>(out);
}

Padding centered(const Text& text, int64_t width) {
  const auto size = static_cast<int64_t>(characters(text.bytes()));
  const int64_t room = width > size ? width - size : 0;
  const int64_t left = room / 2 + (room & width & 1);
  return {.left = left, .right = room - left};
}

}  // namespace ktx::text::jinja
