// Filters of single values: texts and numbers.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "core/base/error.hpp"
#include "text/jinja/builtins.hpp"
#include "text/jinja/evaluator.hpp"
#include "text/jinja/format.hpp"
#include "text/jinja/json_dump.hpp"
#include "text/jinja/numbers.hpp"
#include "text/jinja/operators.hpp"
#include "text/jinja/strings.hpp"
#include "text/unicode.hpp"

namespace ktx::text::jinja {

namespace {

Text subject_text(Call& c) {
  return to_text(c.subject, c.budget);
}

Text text_or(Call& c, size_t i, std::string_view otherwise) {
  return c.has(i) ? to_text(c.value(i), c.budget) : Text(std::string(otherwise));
}

const Text& string_subject(Call& c) {
  if (c.subject.is_undefined()) throw_input(c.subject.undefined().message);
  if (!c.subject.is_string())
    c.fail("expects a string, found '" + std::string(type_name(c.subject)) + "'");
  return c.subject.text();
}

Value absolute(Call& c) {
  const Value zero(int64_t{0});
  if (!c.subject.is_numeric()) return negative(c.subject);  // says what is wrong with it
  return compare(c.subject, zero, "<", c.budget) < 0 ? negative(c.subject) : positive(c.subject);
}

Value capitalize(Call& c) {
  return with_case(subject_text(c), Case::capitalized);
}

Value center(Call& c) {
  return padded(subject_text(c), centered(subject_text(c), c.integer(0, 80)), c.budget);
}

Value default_value(Call& c) {
  const bool absent = c.subject.is_undefined() || (c.flag(1) && !truth(c.subject));
  if (!absent) return c.subject;
  return c.find(0) != nullptr ? c.value(0) : Value(Text());
}

Value escape(Call& c) {
  return html_escaped(subject_text(c));
}

Value filesizeformat(Call& c) {
  constexpr std::array<std::string_view, 8> letters{"k", "M", "G", "T", "P", "E", "Z", "Y"};
  const auto number = to_number(c.subject);
  if (!number) c.fail("expects a number");
  const bool is_binary = c.flag(0);
  const double base = is_binary ? 1024 : 1000, bytes = *number;
  if (bytes == 1) return Text("1 Byte");
  std::array<char, 400> shown{};
  if (bytes < base) {
    std::snprintf(shown.data(), shown.size(), "%.0f Bytes", std::trunc(bytes) + 0.0);
    return Text(shown.data());
  }
  double unit = base;
  size_t i = 0;
  while (i + 1 < letters.size() && bytes >= unit * base) {
    unit *= base;
    ++i;
  }
  std::snprintf(shown.data(), shown.size(), "%.1f ", base * bytes / (unit * base));
  std::string letter(letters[i]);
  if (is_binary && letter == "k") letter = "K";
  return Text(shown.data() + letter + (is_binary ? "iB" : "B"));
}

Value to_float(Call& c) {
  if (c.subject.is_undefined()) throw_input(c.subject.undefined().message);
  if (const auto number = to_number(c.subject)) return *number;
  return c.find(0) != nullptr ? c.value(0) : Value(0.0);
}

Value to_int(Call& c) {
  if (c.subject.is_undefined()) throw_input(c.subject.undefined().message);
  const Value otherwise = c.find(0) != nullptr ? c.value(0) : Value(int64_t{0});
  if (c.subject.is_string())
    if (const auto integer = parse_integer(c.subject.bytes(), c.integer(1, 10))) return *integer;
  if (c.subject.is_integral()) return c.subject.integral();
  const auto number = to_number(c.subject);
  if (!number || !std::isfinite(*number)) return otherwise;
  if (std::fabs(*number) >= 9.2e18) throw_input("an integer has more than 64 bits");
  return static_cast<int64_t>(*number);
}

Value format(Call& c) {
  const Text text = subject_text(c);
  if (!c.rest.positional.empty() && !c.rest.named.empty())
    c.fail("can't handle positional and keyword arguments at the same time");
  if (c.rest.named.empty())
    return format_percent(text, list_of(c.rest.positional, List::Kind::tuple), c.evaluator);
  Dict named;
  for (const auto& [name, value] : c.rest.named) named.items.emplace_back(Text(name), value);
  return format_percent(text, named, c.evaluator);
}

Value indent(Call& c) {
  Text text = string_subject(c);
  text.append("\n");
  const Text by = c.has(0) && c.value(0).is_string()
                      ? c.text(0)
                      : repeated(Text(" "), c.integer(0, 4), c.budget);
  Text out;
  bool first = true;
  for (const Text& line : split_lines(text, false)) {
    c.budget.pay_bytes(by.size());
    if (!first) out.append("\n");
    const bool indented = first ? c.flag(1) : c.flag(2) || !line.empty();
    if (indented) out.append(by);
    out.append(line);
    first = false;
  }
  return out;
}

Value lower(Call& c) {
  return with_case(subject_text(c), Case::lower);
}

Value upper(Call& c) {
  return with_case(subject_text(c), Case::upper);
}

Value replace(Call& c) {
  const Text old = to_text(c.value(0), c.budget), by = to_text(c.value(1), c.budget);
  return replaced(subject_text(c), {.old = old.bytes(), .by = by, .most = c.integer(2, -1)},
                  c.budget);
}

Value round_number(Call& c) {
  const int64_t digits = c.integer(0, 0);
  const std::string method = text_or(c, 1, "common").bytes();
  if (!c.subject.is_numeric()) return negative(c.subject);  // says what is wrong with it
  if (digits < -300 || digits > 300) c.fail("takes a precision of -300 to 300");
  if (method == "common") return rounded(c.subject, digits);
  if (method != "ceil" && method != "floor") c.fail("method must be common, ceil or floor");
  const double scale = std::pow(10.0, static_cast<double>(digits));
  const double scaled = c.subject.number() * scale;
  return (method == "ceil" ? std::ceil(scaled) : std::floor(scaled)) / scale;
}

Value string(Call& c) {
  return subject_text(c);
}

Value title(Call& c) {
  return with_title_words(subject_text(c));
}

// separators=(',', ':'), a list or a tuple of two.
void take_separators(Call& c, size_t i, JsonStyle& style) {
  if (style.indent) style.item_separator = Text(",");
  if (!c.has(i)) return;
  const auto items = iterate(c.value(i), c.budget);
  if (items.size() != 2 || !items[0].is_string() || !items[1].is_string())
    c.fail("takes two strings as separators");
  style.item_separator = items[0].text();
  style.key_separator = items[1].text();
}

Value tojson(Call& c) {
  JsonStyle style{.ensure_ascii = c.flag(0), .sort_keys = c.flag(3)};
  if (c.has(1))
    style.indent = c.value(1).is_string() ? c.text(1) : repeated(Text(" "), c.integer(1), c.budget);
  take_separators(c, 2, style);
  return dump_json(c.subject, style, c.budget);
}

Value trim(Call& c) {
  return stripped(subject_text(c), c.has(0) ? &c.text(0).bytes() : nullptr);
}

Value truncate(Call& c) {
  const Text& text = string_subject(c);
  const Text end = text_or(c, 2, "...");
  const auto end_size = static_cast<int64_t>(characters(end.bytes()));
  const int64_t length = c.integer(0, 255), leeway = c.integer(3, 5);
  if (length < end_size || leeway < 0)
    c.fail("expects a length of " + std::to_string(end_size) + " at least, and a leeway of 0");
  const auto offsets = character_offsets(text.bytes());
  if (static_cast<int64_t>(offsets.size()) - 1 - leeway <= length) return text;
  Text out = text.slice(0, offsets[static_cast<size_t>(length - end_size)]);
  if (!c.flag(1)) {
    const size_t space = out.bytes().rfind(' ');
    if (space != std::string::npos) out = out.slice(0, space);
  }
  out.append(end);
  return out;
}

Value urlencode(Call& c) {
  const Value& value = c.subject;
  if (!value.is_dict() && !value.is_list()) return percent_encoded(subject_text(c), "/");
  Text out;
  const auto add = [&](const Value& key, const Value& item) {
    if (!out.empty()) out.append("&");
    const Text equals("="), plus("+");
    for (const Value* part : {&key, &item}) {
      if (part == &item) out.append(equals);
      const Text encoded = percent_encoded(to_text(*part, c.budget), "");
      out.append(replaced(encoded, {.old = "%20", .by = plus}, c.budget));
    }
  };
  if (value.is_dict())
    for (const auto& [key, item] : value.dict().items) add(key, item);
  else
    for (const auto& pair : iterate(value, c.budget)) {
      const auto parts = iterate(pair, c.budget);
      if (parts.size() != 2) c.fail("expects pairs");
      add(parts[0], parts[1]);
    }
  return out;
}

Value wordcount(Call& c) {
  return static_cast<int64_t>(count_words(subject_text(c).bytes()));
}

constexpr Builtin table[] = {
    {"abs", "", absolute},
    {"capitalize", "", capitalize},
    {"center", "width?", center},
    {"d", "default_value? boolean?", default_value},
    {"default", "default_value? boolean?", default_value},
    {"e", "", escape},
    {"escape", "", escape},
    {"filesizeformat", "binary?", filesizeformat},
    {"float", "default?", to_float},
    {"forceescape", "", escape},
    {"format", "* **", format},
    {"indent", "width? first? blank?", indent},
    {"int", "default? base?", to_int},
    {"lower", "", lower},
    {"replace", "old new count?", replace},
    {"round", "precision? method?", round_number},
    {"safe", "", string},
    {"string", "", string},
    {"title", "", title},
    {"tojson", "ensure_ascii? indent? separators? sort_keys?", tojson},
    {"trim", "chars?", trim},
    {"truncate", "length? killwords? end? leeway?", truncate},
    {"upper", "", upper},
    {"urlencode", "", urlencode},
    {"wordcount", "", wordcount},
};

}  // namespace

std::span<const Builtin> text_filters() {
  return table;
}

}  // namespace ktx::text::jinja
