// Numbers and texts laid out as Python's format() does.
#include "text/jinja/format_spec.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "core/base/error.hpp"
#include "text/jinja/strings.hpp"
#include "text/unicode.hpp"

namespace ktx::text::jinja {

namespace {

constexpr int64_t most_digits = 1000;  // of a number that is formatted

std::string in_base(uint64_t value, int base) {
  std::string digits(64, '\0');
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value, base).ptr;
  digits.resize(static_cast<size_t>(end - digits.data()));
  return digits;
}

void group(std::string& digits, char mark, size_t size) {
  for (size_t end = std::min(digits.find_first_not_of("0123456789abcdefABCDEF"), digits.size());
       end > size;) {
    end -= size;
    digits.insert(end, 1, mark);
  }
}

// Digits of |value| without a sign.
std::string integer_digits(int64_t value, const FormatSpec& spec) {
  const uint64_t size =
      value < 0 ? uint64_t{0} - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
  const int base = spec.type == 'x' || spec.type == 'X' ? 16
                   : spec.type == 'o'                   ? 8
                   : spec.type == 'b'                   ? 2
                                                        : 10;
  std::string digits = in_base(size, base);
  if (spec.grouping != 0) group(digits, spec.grouping, base == 10 ? 3 : 4);
  if (spec.type == 'X')
    std::ranges::transform(digits, digits.begin(),
                           [](char c) { return static_cast<char>(std::toupper(c)); });
  if (spec.alternate && base != 10) digits.insert(0, {'0', spec.type});
  return digits;
}

std::string printed(double value, char type, int64_t precision, bool alternate) {
  std::string format = alternate ? "%#.*" : "%.*";
  format += type;
  const int size = std::snprintf(nullptr, 0, format.c_str(), static_cast<int>(precision), value);
  std::string out(static_cast<size_t>(size), '\0');
  std::snprintf(out.data(), out.size() + 1, format.c_str(), static_cast<int>(precision), value);
  return out;
}

// Without a type: like 'g', but a digit after the point, and an exponent one digit earlier.
std::string in_precision(double value, int64_t precision) {
  std::string digits = printed(value, 'e', precision - 1, false);
  const size_t e = digits.find('e');
  const int exponent = std::stoi(digits.substr(e + 1));
  if (exponent < -4 || exponent >= precision - 1) {
    const std::string tail = digits.substr(e);
    digits.resize(e);
    if (digits.find('.') != std::string::npos) digits.resize(digits.find_last_not_of("0.") + 1);
    return digits + tail;
  }
  digits = printed(value, 'g', precision, false);
  return digits.find('.') == std::string::npos ? digits + ".0" : digits;
}

std::string float_digits(double value, const FormatSpec& spec) {
  const double size = std::fabs(value);
  std::string digits;
  if (!std::isfinite(value)) {
    digits = std::isnan(value) ? "nan" : "inf";
  } else if (spec.type == 0 && spec.precision < 0) {
    digits = float_repr(size);
  } else if (spec.type == '%') {
    digits =
        printed(size * 100, 'f', spec.precision < 0 ? 6 : spec.precision, spec.alternate) + "%";
  } else if (spec.type == 0) {
    digits = in_precision(size, std::max<int64_t>(spec.precision, 1));
  } else {
    const char type = spec.type == 'n' ? 'g' : spec.type;
    digits = printed(size, type, spec.precision < 0 ? 6 : spec.precision, spec.alternate);
  }
  if (spec.grouping != 0) group(digits, spec.grouping, 3);
  return digits;
}

// `body` in a field of the width. '=' fills between the sign and the rest.
Text laid_out(const Text& sign, const Text& body, const FormatSpec& spec, char align,
              Budget& budget) {
  const auto used = static_cast<int64_t>(characters(sign.bytes()) + characters(body.bytes()));
  const int64_t room = std::max<int64_t>(0, spec.width - used);
  Text whole = sign;
  const Text fill(spec.fill);
  if (align == '=') {
    whole.append(padded(body, {.left = room, .fill = fill}, budget));
    return whole;
  }
  whole.append(body);
  const int64_t left = align == '<' ? 0 : align == '>' ? room : room / 2;
  return padded(whole, {.left = left, .right = room - left, .fill = fill}, budget);
}

[[noreturn]] void refuse(const FormatSpec& spec, const Value& value) {
  throw_input("unknown format code '" + std::string(1, spec.type) + "' for object of type '" +
              std::string(type_name(value)) + "'");
}

Text format_number(const Value& value, const FormatSpec& spec, Budget& budget) {
  if (spec.precision > most_digits)
    throw_input("a precision of " + std::to_string(spec.precision) + " is too large");
  const bool as_integer =
      value.is_integral() &&
      std::string_view("dboxXn").find(spec.type == 0 ? 'd' : spec.type) != std::string_view::npos;
  if (!as_integer &&
      std::string_view("eEfFgGn%").find(spec.type == 0 ? 'f' : spec.type) == std::string_view::npos)
    refuse(spec, value);
  if (as_integer && spec.precision >= 0)
    throw_input("precision not allowed in integer format specifier");
  const std::string digits =
      as_integer ? integer_digits(value.integral(), spec) : float_digits(value.number(), spec);
  const bool negative = as_integer ? value.integral() < 0 : std::signbit(value.number());
  const std::string sign = negative ? "-" : spec.sign == '-' ? "" : std::string(1, spec.sign);
  return laid_out(Text(sign), Text(digits), spec, spec.align == 0 ? '>' : spec.align, budget);
}

}  // namespace

int64_t read_count(std::string_view text, size_t& at, int64_t otherwise) {
  int64_t count = otherwise;
  const auto read = std::from_chars(text.data() + at, text.data() + text.size(), count);
  if (at < text.size() && text[at] == '-') return otherwise;
  if (read.ec == std::errc::result_out_of_range) throw_input("a number in a format is too large");
  at = static_cast<size_t>(read.ptr - text.data());
  return count;
}

FormatSpec parse_format_spec(std::string_view text) {
  FormatSpec spec;
  const auto is_align = [](char c) { return c == '<' || c == '>' || c == '^' || c == '='; };
  size_t at = 0;
  const size_t first = text.empty() ? 0 : character_size(text, 0);
  if (first < text.size() && first > 0 && is_align(text[first])) {
    spec.fill = text.substr(0, first);
    spec.align = text[first];
    at = first + 1;
  } else if (!text.empty() && is_align(text[0])) {
    spec.align = text[0];
    at = 1;
  }
  const auto skip = [&](char c) { return at < text.size() && text[at] == c && (++at, true); };
  for (const char sign : {'+', '-', ' '})
    if (skip(sign)) spec.sign = sign;
  spec.alternate = skip('#');
  if (at < text.size() && text[at] == '0') {
    if (spec.align == 0) {
      spec.fill = "0";
      spec.align = '=';
    }
  }
  spec.width = read_count(text, at, 0);
  for (const char mark : {',', '_'})
    if (skip(mark)) spec.grouping = mark;
  if (skip('.')) {
    spec.precision = read_count(text, at, -1);
    if (spec.precision < 0) throw_input("format specifier missing precision");
  }
  if (at < text.size()) spec.type = text[at++];
  if (at < text.size()) throw_input("invalid format specifier '" + std::string(text) + "'");
  return spec;
}

Text format_value(const Value& value, const FormatSpec& spec, Budget& budget) {
  const bool as_text = value.is(Value::Kind::boolean) && spec.type == 0 && spec.width == 0;
  if (value.is_numeric() && !as_text && spec.type != 's') return format_number(value, spec, budget);
  if ((spec.type != 0 && spec.type != 's') || value.is(Value::Kind::number)) refuse(spec, value);
  Text text = to_text(value, budget);
  if (spec.precision >= 0) {
    const auto offsets = character_offsets(text.bytes());
    text =
        text.slice(0, offsets[std::min(static_cast<size_t>(spec.precision), offsets.size() - 1)]);
  }
  return laid_out({}, text, spec, spec.align == 0 || spec.align == '=' ? '<' : spec.align, budget);
}

}  // namespace ktx::text::jinja
