// Text helpers.
#include "core/base/text.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <limits>
#include <numeric>
#include <utility>

namespace ktx::base {

namespace {

char lower(char c) {
  return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

// Levenshtein distance with swaps of neighbours counted once (optimal string alignment), ignoring
// the case of ASCII letters.
size_t edit_distance(std::string_view a, std::string_view b) {
  const auto same = [&](size_t i, size_t j) { return lower(a[i]) == lower(b[j]); };
  std::vector<size_t> before(b.size() + 1), last(before), row(before);
  std::iota(row.begin(), row.end(), size_t{0});
  for (size_t i = 1; i <= a.size(); ++i) {
    std::swap(before, last);
    std::swap(last, row);
    row[0] = i;
    for (size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (same(i - 1, j - 1) ? 0 : 1)});
      if (i > 1 && j > 1 && same(i - 1, j - 2) && same(i - 2, j - 1))
        row[j] = std::min(row[j], before[j - 2] + 1);
    }
  }
  return row[b.size()];
}

constexpr size_t least_part = 3;  // characters that tell of a name that has them

bool contains(std::string_view name, std::string_view part) {
  if (part.size() < least_part) return false;
  return std::search(name.begin(), name.end(), part.begin(), part.end(),
                     [](char a, char b) { return lower(a) == lower(b); }) != name.end();
}

// "int4" of "int4/32", "cuda" of "cuda:0".
bool begins_component(std::string_view name, std::string_view word) {
  return word.size() >= least_part && name.size() > word.size() && name.starts_with(word) &&
         std::string_view("/:._").find(name[word.size()]) != std::string_view::npos;
}

struct Unit {
  std::string_view name;
  double bytes;
};
constexpr std::array<Unit, 9> units{{{"B", 1},
                                     {"KiB", 1024.},
                                     {"MiB", 1048576.},
                                     {"GiB", 1073741824.},
                                     {"TiB", 1099511627776.},
                                     {"KB", 1e3},
                                     {"MB", 1e6},
                                     {"GB", 1e9},
                                     {"TB", 1e12}}};

}  // namespace

std::vector<std::string> nearest(std::string_view word, const std::vector<std::string>& names,
                                 size_t most) {
  std::vector<std::pair<size_t, std::string>> found;
  const size_t limit = std::max<size_t>(1, word.size() / 3);
  for (const auto& name : names) {
    // The distance is at least the difference of the lengths: a huge word costs nothing.
    const size_t least =
        word.size() > name.size() ? word.size() - name.size() : name.size() - word.size();
    if (word.empty() || least > limit) continue;
    const size_t distance = edit_distance(word, name);
    if (distance <= limit) found.emplace_back(distance, name);
  }
  std::stable_sort(found.begin(), found.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<std::string> out;
  for (auto& [distance, name] : found)
    if (out.size() < most) out.push_back(std::move(name));
  return out;
}

namespace {

// The nearest of a table's names, where a part of a name is a usual mistake.
std::vector<std::string> nearest_of_table(std::string_view word,
                                          const std::vector<std::string>& names) {
  constexpr size_t most = 3;
  std::vector<std::string> out;
  for (const auto& name : names)
    if (begins_component(name, word)) out.push_back(name);
  for (const auto& name : nearest(word, names, most))
    if (std::ranges::find(out, name) == out.end()) out.push_back(name);
  if (out.empty())
    for (const auto& name : names)
      if (contains(name, word) || contains(word, name)) out.push_back(name);
  if (out.size() > most) out.resize(most);
  return out;
}

}  // namespace

std::vector<std::string> suggestions(std::string_view word, const std::vector<std::string>& names,
                                     std::string_view plural) {
  std::vector<std::string> notes;
  const auto near = nearest_of_table(word, names);
  if (!near.empty()) notes.push_back("did you mean '" + join(near, "' or '") + "'?");
  notes.push_back("valid " + std::string(plural) + ": " + join(names));
  return notes;
}

std::string join(const std::vector<std::string>& words, std::string_view separator) {
  std::string out;
  for (size_t i = 0; i < words.size(); ++i) {
    if (i > 0) out += separator;
    out += words[i];
  }
  return out;
}

std::string format_number(double value) {
  std::array<char, 48> text{};
  std::snprintf(text.data(), text.size(), "%.*f", value < 9.95 ? 2 : value < 99.5 ? 1 : 0, value);
  return text.data();
}

std::string_view beginning(std::string_view text, size_t bytes) noexcept {
  if (text.size() <= bytes) return text;
  size_t end = bytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;
  return text.substr(0, end);
}

std::string shortened(std::string_view text, size_t bytes) {
  const auto begin = beginning(text, bytes);
  return begin.size() == text.size() ? std::string(text) : std::string(begin) + "...";
}

std::string format_bytes(uint64_t bytes) {
  static constexpr std::array<const char*, 5> names{"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  while (value >= 999.5 && unit + 1 < names.size()) {
    value /= 1024;
    ++unit;
  }
  // 1000 to 1023 of the smaller unit are below 1 of this one.
  const int decimals = unit == 0 || value >= 99.95 ? 0
                       : value >= 9.995            ? 1
                       : value >= 0.9995           ? 2
                                                   : 3;
  std::array<char, 48> text{};
  std::snprintf(text.data(), text.size(), "%.*f %s", decimals, value, names[unit]);
  return text.data();
}

std::optional<uint64_t> parse_bytes(std::string_view text) {
  double value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || !(value >= 0) || std::signbit(value)) return std::nullopt;
  auto rest = text.substr(static_cast<size_t>(stop - text.data()));
  while (!rest.empty() && rest.front() == ' ') rest.remove_prefix(1);
  for (const auto& unit : units)
    if (rest == unit.name && value * unit.bytes < 9e18)
      return static_cast<uint64_t>(std::llround(value * unit.bytes));
  return std::nullopt;
}

}  // namespace ktx::base
