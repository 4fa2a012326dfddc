// Rules in block style, what they hold in flow style, comments of at most 100 columns.
#include "placement/import/rules_text.hpp"

#include <algorithm>

#include "core/base/text.hpp"
#include "placement/import/selection.hpp"

namespace ktx::placement {

namespace {

constexpr size_t most_columns = 100;

// The text as comment lines; words longer than a line stay whole. It may quote other programs'
// files: no line break there may end the comment.
std::string comment_lines(std::string quoting, std::string_view indent) {
  for (char& c : quoting)
    if (static_cast<unsigned char>(c) < ' ') c = ' ';
  std::string_view text = quoting;
  std::string out;
  const std::string first = std::string(indent) + "# ", next = first + "  ";
  std::string line = first;
  bool has_words = false;
  while (!text.empty()) {
    const auto end = std::min(text.find(' '), text.size());
    const auto word = text.substr(0, end);
    if (has_words && line.size() + 1 + word.size() > most_columns) {
      out += line + "\n";
      line = next;
      has_words = false;
    }
    if (has_words) line += ' ';
    line += word;
    has_words = true;
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return out + line + "\n";
}

// Names stand in block style.
std::string name_scalar(const std::string& text) {
  const bool plain = std::ranges::all_of(text, [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view(" ._,-").find(c) != std::string_view::npos;
  });
  return plain ? text : base::yaml_quoted(text);
}

}  // namespace

std::string WrittenPlace::text() const {
  std::vector<std::string> keys;
  std::vector<std::string> names;
  for (const auto& device : devices)
    names.push_back(device.find(':') == std::string::npos ? device : base::yaml_quoted(device));
  if (names.size() == 1) keys.push_back("device: " + names.front());
  if (names.size() > 1) keys.push_back("device: [" + base::join(names) + "], spread: layers");
  if (!format.empty()) keys.push_back("format: " + format);
  if (stream) keys.emplace_back("stream: yes");
  if (defer > 0) keys.push_back("defer: " + std::to_string(defer));
  return "{" + base::join(keys) + "}";
}

RulesText::RulesText(std::string_view head) {
  while (!head.empty()) {
    const auto end = std::min(head.find('\n'), head.size());
    text_ += comment_lines(std::string(head.substr(0, end)), "");
    head.remove_prefix(std::min(end + 1, head.size()));
  }
  text_ += "ktx: 1\nrules:\n";
}

void RulesText::section(std::string_view text) {
  if (!first_) text_ += '\n';
  first_ = false;
  comment(text);
}

void RulesText::comment(std::string_view text) {
  text_ += comment_lines(std::string(text), "  ");
}

void RulesText::rule(const std::string& name, const Match& match, const WrittenPlace& place,
                     const WrittenPlace& prefill) {
  text_ += "  - name: " + name_scalar(name) + "\n    match: " + flow_text(match) +
           "\n    place: " + place.text() + "\n";
  if (prefill != WrittenPlace{}) text_ += "    prefill: " + prefill.text() + "\n";
}

}  // namespace ktx::placement
