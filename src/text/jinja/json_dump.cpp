// Python's json.dumps, which keeps the marks of given text.
#include "text/jinja/json_dump.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>

#include "core/base/error.hpp"
#include "text/unicode.hpp"

namespace ktx::text::jinja {

namespace {

std::string unicode_escape(char32_t c) {
  const auto unit = [](unsigned code) {
    std::array<char, 16> text{};
    std::snprintf(text.data(), text.size(), "\\u%04x", code);
    return std::string(text.data());
  };
  if (c < 0x10000) return unit(c);
  const char32_t rest = c - 0x10000;
  return unit(0xD800 + (rest >> 10)) + unit(0xDC00 + (rest & 0x3FF));
}

std::string json_number(double value) {
  if (std::isnan(value)) return "NaN";
  if (std::isinf(value)) return value < 0 ? "-Infinity" : "Infinity";
  return float_repr(value);
}

class Dumper {
 public:
  Dumper(const JsonStyle& style, Budget& budget) : style_(style), budget_(budget) {}

  void dump(const Value& value) {
    budget_.pay(1);
    switch (value.kind()) {
      case Value::Kind::none:
        return out.append("null");
      case Value::Kind::boolean:
        return out.append(value.integral() != 0 ? "true" : "false");
      case Value::Kind::integer:
        return out.append(std::to_string(value.integral()));
      case Value::Kind::number:
        return out.append(json_number(value.number()));
      case Value::Kind::string:
        return string(value.text());
      case Value::Kind::list:
        if (value.list().kind <= List::Kind::tuple) return list(value.list());
        break;
      case Value::Kind::dict:
        return dict(value.dict());
      default:
        break;
    }
    throw_input("Object of type " + std::string(type_name(value)) + " is not JSON serializable");
  }

  Text out;

 private:
  void string(const Text& text) {
    const std::string_view bytes = text.bytes();
    budget_.pay(1 + bytes.size() / 4);
    out.append("\"");
    size_t begin = 0;  // of what is copied as it is
    for (size_t at = 0; at < bytes.size();) {
      const size_t size = character_size(bytes, at);
      const std::string escape = escaped(bytes.substr(at, size));
      if (!escape.empty()) {
        out.append(text, begin, at);
        out.append(escape, text.is_given(at));
        begin = at + size;
      }
      at += size;
    }
    out.append(text, begin, bytes.size());
    out.append("\"");
  }

  // Empty: the character stays as it is.
  std::string escaped(std::string_view character) const {
    constexpr std::string_view special = "\"\\\n\r\t\f\b", letters = "\"\\nrtfb";
    const size_t found = special.find(character[0]);
    if (found != std::string_view::npos) return {'\\', letters[found]};
    const auto byte = static_cast<unsigned char>(character[0]);
    if (byte < 0x20) return unicode_escape(byte);
    if (byte < 0x80 || !style_.ensure_ascii) return {};
    return unicode_escape(utf8_step(character).codepoint);
  }

  void key(const Value& key) {
    if (key.is_string()) return string(key.text());
    if (!key.is_none() && !key.is_numeric())
      throw_input("keys must be str, int, float, bool or None, not " + std::string(type_name(key)));
    out.append("\"");
    dump(key);
    out.append("\"");
  }

  void line() {
    if (!style_.indent) return;
    budget_.pay_bytes(static_cast<uint64_t>(level_) * style_.indent->size());
    out.append("\n");
    for (int i = 0; i < level_; ++i) out.append(*style_.indent);
  }

  template <class Items, class One>
  void container(std::string_view brackets, const Items& items, One one) {
    out.append(brackets.substr(0, 1));
    ++level_;
    for (size_t i = 0; i < items.size(); ++i) {
      budget_.pay_bytes(style_.item_separator.size() + style_.key_separator.size());
      if (i > 0) out.append(style_.item_separator);
      line();
      one(items[i]);
    }
    --level_;
    if (!items.empty()) line();
    out.append(brackets.substr(1));
  }

  void list(const List& list) {
    container("[]", list.items, [&](const Value& item) { dump(item); });
  }

  void dict(const Dict& dict) {
    auto items = dict.items;
    if (style_.sort_keys)
      std::ranges::stable_sort(items, [&](const auto& a, const auto& b) {
        return compare(a.first, b.first, "<", budget_) < 0;
      });
    container("{}", items, [&](const auto& item) {
      key(item.first);
      out.append(style_.key_separator);
      dump(item.second);
    });
  }

  const JsonStyle& style_;
  Budget& budget_;
  int level_ = 0;
};

}  // namespace

Text dump_json(const Value& value, const JsonStyle& style, Budget& budget) {
  Dumper dumper(style, budget);
  dumper.dump(value);
  return std::move(dumper.out);
}

}  // namespace ktx::text::jinja
