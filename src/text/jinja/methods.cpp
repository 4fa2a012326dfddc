// Methods of strings, lists and dicts.
#include <algorithm>

#include "core/base/error.hpp"
#include "text/jinja/builtins.hpp"
#include "text/jinja/evaluator.hpp"
#include "text/jinja/format.hpp"
#include "text/jinja/numbers.hpp"
#include "text/jinja/operators.hpp"
#include "text/jinja/strings.hpp"
#include "text/unicode.hpp"

namespace ktx::text::jinja {

namespace {

const std::string* chars_or_space(Call& c, size_t i) {
  return c.has(i) ? &c.text(i).bytes() : nullptr;
}

template <Case to>
Value cased(Call& c) {
  return with_case(c.subject_text(), to);
}

template <bool left, bool right>
Value strip(Call& c) {
  return stripped(c.subject_text(), chars_or_space(c, 0), {.left = left, .right = right});
}

template <bool from_right>
Value split_text(Call& c) {
  SplitOptions options{
      .separator = chars_or_space(c, 0), .most = c.integer(1, -1), .from_right = from_right};
  if (options.separator != nullptr && options.separator->empty()) throw_input("empty separator");
  c.budget.pay(c.subject_text().size() / 2);
  std::vector<Value> out;
  for (auto& piece : split(c.subject_text(), options)) out.emplace_back(std::move(piece));
  return list_of(std::move(out));
}

Value splitlines(Call& c) {
  c.budget.pay(c.subject_text().size());
  std::vector<Value> out;
  for (auto& line : split_lines(c.subject_text(), c.flag(0))) out.emplace_back(std::move(line));
  return list_of(std::move(out));
}

template <bool from_right>
Value partition(Call& c) {
  const Text &text = c.subject_text(), &separator = c.text(0);
  if (separator.empty()) throw_input("empty separator");
  const size_t at =
      from_right ? text.bytes().rfind(separator.bytes()) : text.bytes().find(separator.bytes());
  std::vector<Value> parts(3, Value(Text()));
  if (at == std::string::npos) {
    parts[from_right ? 2 : 0] = text;
  } else {
    const size_t end = at + separator.size();
    parts = {text.slice(0, at), text.slice(at, end), text.slice(end, text.size())};
  }
  return list_of(std::move(parts), List::Kind::tuple);
}

// The part of the text selected by the arguments from the i-th on, and where it begins.
struct Window {
  std::string_view text;
  size_t begin = 0, begin_character = 0;
  bool valid = true;  // does it begin inside of the text?
};
Window window(Call& c, size_t i) {
  const std::string& bytes = c.subject_text().bytes();
  if (!c.has(i) && !c.has(i + 1)) return {.text = bytes};
  c.budget.pay(bytes.size());
  const auto offsets = character_offsets(bytes);
  const auto size = static_cast<int64_t>(offsets.size()) - 1;
  const auto bound = [&](int64_t at) {
    return std::clamp<int64_t>(at < 0 ? at + size : at, 0, size);
  };
  const int64_t begin = bound(c.integer(i, 0)), end = bound(c.integer(i + 1, size));
  const bool valid = c.integer(i, 0) <= size && begin <= end;
  const size_t from = offsets[static_cast<size_t>(begin)];
  const size_t to = std::max(from, offsets[static_cast<size_t>(end)]);
  return {std::string_view(bytes).substr(from, to - from), from, static_cast<size_t>(begin), valid};
}

template <bool from_right, bool must_be>
Value find_text(Call& c) {
  const Window in = window(c, 1);
  const std::string& what = c.text(0).bytes();
  const size_t at = from_right ? in.text.rfind(what) : in.text.find(what);
  if (at == std::string_view::npos || !in.valid) {
    if (must_be) throw_input("substring not found");
    return int64_t{-1};
  }
  return static_cast<int64_t>(in.begin_character + characters(in.text.substr(0, at)));
}

Value count_text(Call& c) {
  const Window in = window(c, 1);
  const std::string& what = c.text(0).bytes();
  if (!in.valid) return int64_t{0};
  if (what.empty()) return static_cast<int64_t>(characters(in.text)) + 1;
  int64_t count = 0;
  for (size_t at = in.text.find(what); at != std::string_view::npos;
       at = in.text.find(what, at + what.size()))
    ++count;
  return count;
}

// Whether any of several texts fits, if the argument is a tuple.
template <bool at_end>
Value starts_or_ends_with(Call& c) {
  const Window in = window(c, 1);
  const auto holds = [&](const Value& value) {
    if (!value.is_string()) c.fail("expects a string or a tuple of strings");
    return in.valid &&
           (at_end ? in.text.ends_with(value.bytes()) : in.text.starts_with(value.bytes()));
  };
  const Value& what = c.value(0);
  if (!what.is_list() || what.list().kind != List::Kind::tuple) return holds(what);
  return std::ranges::any_of(what.list().items, holds);
}

template <bool at_end>
Value without_affix(Call& c) {
  const Text &text = c.subject_text(), &affix = c.text(0);
  const bool found =
      at_end ? text.bytes().ends_with(affix.bytes()) : text.bytes().starts_with(affix.bytes());
  if (!found) return text;
  return at_end ? text.slice(0, text.size() - affix.size()) : text.slice(affix.size(), text.size());
}

Value replace(Call& c) {
  return replaced(c.subject_text(),
                  {.old = c.text(0).bytes(), .by = c.text(1), .most = c.integer(2, -1)}, c.budget);
}

enum class Side { left, right, both };
template <Side text_at>
Value justify(Call& c) {
  const Text& text = c.subject_text();
  const int64_t width = c.integer(0);
  Padding padding = centered(text, width);
  const int64_t room = padding.left + padding.right;
  if (text_at == Side::left) padding = {.left = 0, .right = room};
  if (text_at == Side::right) padding = {.left = room, .right = 0};
  if (c.has(1)) padding.fill = c.text(1);
  if (characters(padding.fill.bytes()) != 1) c.fail("takes one character to fill with");
  return padded(text, padding, c.budget);
}

Value zfill(Call& c) {
  const Text& text = c.subject_text();
  const bool has_sign = !text.empty() && (text.bytes()[0] == '-' || text.bytes()[0] == '+');
  Text out = text.slice(0, has_sign ? 1 : 0);
  const Padding room = centered(text, c.integer(0));
  out.append(repeated(Text("0"), room.left + room.right, c.budget));
  out.append(text, has_sign ? 1 : 0, text.size());
  return out;
}

Value join(Call& c) {
  Text out;
  bool is_first = true;
  for (const auto& item : iterate(c.value(0), c.budget)) {
    if (!item.is_string())
      throw_input("sequence item: expected str instance, " + std::string(type_name(item)) +
                  " found");
    c.budget.pay_bytes(item.text().size() + c.subject_text().size());
    if (!std::exchange(is_first, false)) out.append(c.subject_text());
    out.append(item.text());
  }
  return out;
}

Value format(Call& c) {
  return format_braces(c.subject_text(), c.rest, c.evaluator);
}

Value format_map(Call& c) {
  Arguments arguments;
  if (!c.value(0).is_dict()) c.fail("expects a mapping");
  for (const auto& [key, value] : c.value(0).dict().items)
    if (key.is_string()) arguments.named.emplace_back(key.bytes(), value);
  return format_braces(c.subject_text(), arguments, c.evaluator);
}

Value expandtabs(Call& c) {
  return with_tabs_expanded(c.subject_text(), c.integer(0, 8), c.budget);
}

template <CharacterClass wanted>
Value all_characters(Call& c) {
  return all_are(c.subject_text().bytes(), wanted);
}

template <Case wanted>
Value has_case(Call& c) {
  return is_cased_as(c.subject_text().bytes(), wanted);
}

constexpr Builtin strings[] = {
    {"capitalize", "", cased<Case::capitalized>},
    {"casefold", "", cased<Case::folded>},
    {"center", "width fillchar?", justify<Side::both>},
    {"count", "sub start? end?", count_text},
    {"endswith", "suffix start? end?", starts_or_ends_with<true>},
    {"expandtabs", "tabsize?", expandtabs},
    {"find", "sub start? end?", find_text<false, false>},
    {"format", "* **", format},
    {"format_map", "mapping", format_map},
    {"index", "sub start? end?", find_text<false, true>},
    {"isalnum", "", all_characters<CharacterClass::alphanumeric>},
    {"isalpha", "", all_characters<CharacterClass::letter>},
    {"isascii", "", all_characters<CharacterClass::ascii>},
    {"isdecimal", "", all_characters<CharacterClass::decimal>},
    {"isdigit", "", all_characters<CharacterClass::digit>},
    {"isidentifier", "", [](Call& c) -> Value { return is_identifier(c.subject_text().bytes()); }},
    {"islower", "", has_case<Case::lower>},
    {"isnumeric", "", all_characters<CharacterClass::numeric>},
    {"isprintable", "", all_characters<CharacterClass::printable>},
    {"isspace", "", all_characters<CharacterClass::space>},
    {"istitle", "", has_case<Case::title>},
    {"isupper", "", has_case<Case::upper>},
    {"join", "iterable", join},
    {"ljust", "width fillchar?", justify<Side::left>},
    {"lower", "", cased<Case::lower>},
    {"lstrip", "chars?", strip<true, false>},
    {"partition", "sep", partition<false>},
    {"removeprefix", "prefix", without_affix<false>},
    {"removesuffix", "suffix", without_affix<true>},
    {"replace", "old new count?", replace},
    {"rfind", "sub start? end?", find_text<true, false>},
    {"rindex", "sub start? end?", find_text<true, true>},
    {"rjust", "width fillchar?", justify<Side::right>},
    {"rpartition", "sep", partition<true>},
    {"rsplit", "sep? maxsplit?", split_text<true>},
    {"rstrip", "chars?", strip<false, true>},
    {"split", "sep? maxsplit?", split_text<false>},
    {"splitlines", "keepends?", splitlines},
    {"startswith", "prefix start? end?", starts_or_ends_with<false>},
    {"strip", "chars?", strip<true, true>},
    {"swapcase", "", cased<Case::swapped>},
    {"title", "", cased<Case::title>},
    {"upper", "", cased<Case::upper>},
    {"zfill", "width", zfill},
};

Value index_of(Call& c) {
  const auto& items = c.subject.list().items;
  for (size_t i = 0; i < items.size(); ++i)
    if (equal(items[i], c.value(0), c.budget)) return static_cast<int64_t>(i);
  throw_input(to_repr(c.value(0), c.budget).bytes() + " is not in list");
}

Value count_items(Call& c) {
  return std::ranges::count_if(
      c.subject.list().items, [&](const Value& item) { return equal(item, c.value(0), c.budget); });
}

Value same(Call& c) {
  return c.subject;
}

constexpr Builtin lists[] = {
    {"copy", "", same}, {"count", "value", count_items}, {"index", "value", index_of}};

Value get(Call& c) {
  if (const Value* found = c.subject.dict().find(c.value(0), c.budget)) return *found;
  return c.find(1) != nullptr ? c.value(1) : Value();
}

template <List::Kind kind>
Value view(Call& c) {
  std::vector<Value> out;
  for (const auto& [key, value] : c.subject.dict().items) {
    if (kind == List::Kind::items)
      out.push_back(list_of({key, value}, List::Kind::tuple));
    else
      out.push_back(kind == List::Kind::keys ? key : value);
  }
  return list_of(std::move(out), kind);
}

constexpr Builtin dicts[] = {{"copy", "", same},
                             {"get", "key default?", get},
                             {"items", "", view<List::Kind::items>},
                             {"keys", "", view<List::Kind::keys>},
                             {"values", "", view<List::Kind::values>}};

}  // namespace

std::span<const Builtin> string_methods() {
  return strings;
}
std::span<const Builtin> list_methods() {
  return lists;
}
std::span<const Builtin> dict_methods() {
  return dicts;
}

}  // namespace ktx::text::jinja
