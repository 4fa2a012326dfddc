// Values as text: str() and repr() of Python.
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>

#include "text/jinja/value.hpp"
#include "text/unicode.hpp"

namespace ktx::text::jinja {

namespace {

void escape_code(Text& out, char32_t c, bool given) {
  std::array<char, 16> code{};
  const char* format = c < 0x100 ? "\\x%02x" : c < 0x10000 ? "\\u%04x" : "\\U%08x";
  std::snprintf(code.data(), code.size(), format, static_cast<unsigned>(c));
  out.append(code.data(), given);
}

// One character of a string in quotes.
void quote_character(Text& out, std::string_view character, char quote, bool given) {
  switch (character[0]) {
    case '\n':
      return out.append("\\n", given);
    case '\r':
      return out.append("\\r", given);
    case '\t':
      return out.append("\\t", given);
    case '\\':
      return out.append("\\\\", given);
    default:
      break;
  }
  if (character[0] == quote) out.append("\\", given);
  const auto step = utf8_step(character);
  if (step.kind == Utf8Step::valid && !is_printable(step.codepoint))
    escape_code(out, step.codepoint, given);
  else
    out.append(character, given);
}

void append_quoted(Text& out, const Text& text) {
  const std::string& bytes = text.bytes();
  const char quote =
      bytes.find('\'') != std::string::npos && bytes.find('"') == std::string::npos ? '"' : '\'';
  out.append(std::string(1, quote));
  for (size_t at = 0; at < bytes.size();) {
    const size_t size = character_size(bytes, at);
    quote_character(out, std::string_view(bytes).substr(at, size), quote, text.is_given(at));
    at += size;
  }
  out.append(std::string(1, quote));
}

class Printer {
 public:
  explicit Printer(Budget& budget) : budget_(budget) {}

  void repr(const Value& value) {
    budget_.pay(1);
    switch (value.kind()) {
      case Value::Kind::none:
        return out.append("None");
      case Value::Kind::undefined:
        return out.append("Undefined");
      case Value::Kind::boolean:
        return out.append(value.integral() != 0 ? "True" : "False");
      case Value::Kind::integer:
        return out.append(std::to_string(value.integral()));
      case Value::Kind::number:
        return out.append(float_repr(value.number()));
      case Value::Kind::string:
        budget_.pay(value.text().size());
        return append_quoted(out, value.text());
      case Value::Kind::list:
        return list(value.list());
      case Value::Kind::dict:
        return dict(value.dict());
      case Value::Kind::object:
        return out.append("<" + std::string(value.object().type()) + ">");
    }
  }

  Text out;

 private:
  void list(const List& list) {
    using Kind = List::Kind;
    if (list.kind == Kind::range) return out.append(list.label);
    if (list.kind == Kind::generator) return out.append("<generator>");
    const bool is_view = list.kind > Kind::generator;
    if (is_view) {
      out.append(list.kind == Kind::keys     ? "dict_keys("
                 : list.kind == Kind::values ? "dict_values("
                                             : "dict_items(");
    }
    out.append(list.kind == Kind::tuple ? "(" : "[");
    for (size_t i = 0; i < list.items.size(); ++i) {
      if (i > 0) out.append(", ");
      repr(list.items[i]);
    }
    if (list.kind == Kind::tuple && list.items.size() == 1) out.append(",");
    out.append(list.kind == Kind::tuple ? ")" : "]");
    if (is_view) out.append(")");
  }

  void dict(const Dict& dict) {
    out.append("{");
    for (size_t i = 0; i < dict.items.size(); ++i) {
      if (i > 0) out.append(", ");
      repr(dict.items[i].first);
      out.append(": ");
      repr(dict.items[i].second);
    }
    out.append("}");
  }

  Budget& budget_;
};

}  // namespace

Text to_text(const Value& value, Budget& budget) {
  if (value.is_string()) {
    budget.pay_bytes(value.text().size());
    return value.text();
  }
  if (value.is_undefined()) return {};
  return to_repr(value, budget);
}

Text to_repr(const Value& value, Budget& budget) {
  Printer printer(budget);
  printer.repr(value);
  return std::move(printer.out);
}

// The shortest digits that read back as the same number, as Python places the point.
std::string float_repr(double value) {
  if (std::isnan(value)) return "nan";
  if (std::isinf(value)) return value < 0 ? "-inf" : "inf";
  std::array<char, 32> buffer{};
  const auto end = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value,
                                 std::chars_format::scientific)
                       .ptr;
  const std::string text(buffer.data(), end);
  const size_t e = text.find('e');
  const int exponent = std::stoi(text.substr(e + 1));
  if (exponent < -4 || exponent >= 16) return text;
  std::string digits = text.substr(0, e);
  const std::string sign = digits[0] == '-' ? "-" : "";
  std::erase(digits, '-');
  std::erase(digits, '.');
  const auto point = static_cast<size_t>(exponent + 1);
  if (exponent < 0)
    return sign + "0." + std::string(static_cast<size_t>(-exponent - 1), '0') + digits;
  if (digits.size() <= point) return sign + digits + std::string(point - digits.size(), '0') + ".0";
  return sign + digits.substr(0, point) + "." + digits.substr(point);
}

}  // namespace ktx::text::jinja
