// One pass over an Oniguruma pattern, which remembers where the last repeatable atom began.
#include "text/oniguruma.hpp"

#include <algorithm>
#include <array>
#include <string>
#include <vector>

#include "core/base/error.hpp"
#include "core/base/text.hpp"

namespace ktx::text {

namespace {

struct Escape {
  char letter;
  const char* members;  // what stands between the brackets of an equal PCRE2 class
};
constexpr std::array<Escape, 3> escapes{{
    {'s', R"(\t-\r \x{85}\x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000})"},
    {'w', R"(\p{L}\p{M}\p{Nd}\p{Pc})"},
    {'h', "0-9A-Fa-f"},
}};

// Scripts that patterns name. In PCRE2 \p{Han} is also what is shared with other scripts, such as
// the ideographic full stop; \p{sc:Han} is the script alone, as it is for Oniguruma.
constexpr std::array<std::string_view, 28> scripts{
    "Arabic",  "Armenian", "Bengali",  "Cyrillic", "Devanagari", "Ethiopic",  "Georgian",
    "Greek",   "Gujarati", "Gurmukhi", "Han",      "Hangul",     "Hebrew",    "Hiragana",
    "Kannada", "Katakana", "Khmer",    "Lao",      "Latin",      "Malayalam", "Mongolian",
    "Myanmar", "Oriya",    "Sinhala",  "Tamil",    "Telugu",     "Thai",      "Tibetan"};

constexpr size_t longest = 65536;
// What a repeat passes before it fails is no step of the budget (step_budget.hpp), so that its
// count is bounded; published patterns have at most 3.
constexpr size_t most_repeats = 64;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}
bool is_hex(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

class Translator {
 public:
  Translator(std::string_view pattern, const std::string& where) : in_(pattern), where_(where) {}

  std::string run() {
    if (in_.size() > longest) {
      in_ = base::beginning(in_, 40);
      refuse("a pattern of more than 65536 bytes that begins so");
    }
    while (at_ < in_.size()) {
      const char c = in_[at_];
      if (c == '\\') {
        atom_ = out_.size();
        out_ += escape(false);
      } else if (c == '[') {
        atom_ = out_.size();
        out_ += char_class();
      } else if (next_is("(?#")) {
        skip_comment();
      } else if (c == '(') {
        open_group();
      } else if (c == ')') {
        close_group();
      } else if (c == '{' && counted_repeat()) {
        continue;
      } else {
        // A character of several bytes is one atom: its later bytes don't begin a new one.
        if (c != '*' && c != '+' && c != '?' && (static_cast<unsigned char>(c) & 0xC0) != 0x80)
          atom_ = out_.size();
        out_ += c;
        ++at_;
      }
    }
    return std::move(out_);
  }

 private:
  [[noreturn]] void refuse(const std::string& what) const {
    throw_input("regular expression '" + std::string(in_) + "': " + what + " at offset " +
                    std::to_string(at_) + " is not supported",
                where_);
  }
  bool next_is(std::string_view text) const { return in_.substr(at_, text.size()) == text; }

  // One escape, moved past; as it stands in PCRE2 inside or outside of a class.
  std::string escape(bool in_class) {
    const char letter = at_ + 1 < in_.size() ? in_[at_ + 1] : '\0';
    for (const auto& e : escapes) {
      const bool negated = letter == e.letter - 'a' + 'A';
      if (letter != e.letter && !negated) continue;
      // A negated set inside a class has no other spelling; PCRE2's differs by U+180E for \S.
      if (in_class && negated && letter != 'H') break;
      if (in_class && negated) refuse("\\H in a character class");
      at_ += 2;
      return in_class ? e.members : std::string(negated ? "[^" : "[") + e.members + "]";
    }
    if (letter == 'u' && at_ + 5 < in_.size()) {
      const auto digits = in_.substr(at_ + 2, 4);
      for (const char c : digits)
        if (!is_hex(c)) refuse("\\u without four hexadecimal digits");
      at_ += 6;
      return "\\x{" + std::string(digits) + "}";
    }
    size_t size = std::min<size_t>(2, in_.size() - at_);
    const bool braces = letter == 'p' || letter == 'P' || letter == 'x' || letter == 'k';
    if (braces && at_ + 2 < in_.size() && in_[at_ + 2] == '{') {
      const size_t end = in_.find('}', at_);
      if (end != std::string_view::npos) size = end + 1 - at_;
    }
    std::string text(in_.substr(at_, size));
    at_ += size;
    if (letter == 'p' || letter == 'P') name_script(text);
    return text;
  }

  // \p{Han} -> \p{sc:Han}, \p{^Han} -> \p{^sc:Han}
  static void name_script(std::string& property) {
    if (property.size() < 5) return;
    const size_t begin = property[3] == '^' ? 4 : 3;
    const auto name = std::string_view(property).substr(begin, property.size() - begin - 1);
    if (std::find(scripts.begin(), scripts.end(), name) != scripts.end())
      property.insert(begin, "sc:");
  }

  // The members of a class up to what ends them (not moved past): ']' or '&&'.
  std::string members() {
    std::string text;
    bool first = true;
    while (at_ < in_.size()) {
      const char c = in_[at_];
      if ((c == ']' && !first) || next_is("&&")) break;
      first = false;
      if (c == '\\') {
        text += escape(true);
      } else if (c == '[' && next_is("[:")) {
        const size_t end = in_.find(":]", at_);
        if (end == std::string_view::npos) refuse("an open [:class");
        text += in_.substr(at_, end + 2 - at_);
        at_ = end + 2;
      } else if (c == '[') {
        refuse("a set inside a set, other than [A&&[B]] and [A&&[^B]],");
      } else {
        text += c;
        ++at_;
      }
    }
    return text;
  }

  std::string char_class() {
    ++at_;
    const bool negated = next_is("^");
    if (negated) ++at_;
    const std::string set = (negated ? "[^" : "[") + members() + "]";
    if (!next_is("&&")) {
      expect("]");
      return set;
    }
    at_ += 2;
    if (negated || !next_is("[")) refuse("an intersection other than [A&&[B]] and [A&&[^B]]");
    ++at_;
    const bool without = next_is("^");
    if (without) ++at_;
    const std::string other = members();
    expect("]");
    expect("]");
    return (without ? "(?:(?![" : "(?:(?=[") + other + "])" + set + ")";
  }

  void expect(std::string_view text) {
    if (!next_is(text)) refuse("a set without an end, or an operation between sets,");
    at_ += text.size();
  }

  // (?#...), which ends at the first ')' without a backslash.
  void skip_comment() {
    for (size_t end = at_ + 3; end < in_.size(); ++end) {
      if (in_[end] == ')') {
        at_ = end + 1;
        return;
      }
      if (in_[end] == '\\') ++end;
    }
    refuse("a comment without an end");
  }

  void open_group() {
    groups_.push_back(out_.size());
    out_ += '(';
    ++at_;
    if (!next_is("?")) return;
    out_ += '?';
    ++at_;
    // Options, as in (?i) and (?m-i:...): Ruby's m is PCRE2's s.
    size_t end = at_;
    while (end < in_.size() && std::string_view("imx-").find(in_[end]) != std::string_view::npos)
      ++end;
    if (end == in_.size() || (in_[end] != ':' && in_[end] != ')')) return;
    for (; at_ < end; ++at_) out_ += in_[at_] == 'm' ? 's' : in_[at_];
  }

  void close_group() {
    if (!groups_.empty()) {
      atom_ = groups_.back();
      groups_.pop_back();
    }
    out_ += ')';
    ++at_;
  }

  // {n}, {n,}, {n,m} or {,m} with what follows; false when the brace is an ordinary character.
  bool counted_repeat() {
    size_t end = at_ + 1;
    const auto digits = [&] {
      const size_t begin = end;
      while (end < in_.size() && is_digit(in_[end])) ++end;
      return std::string(in_.substr(begin, end - begin));
    };
    const std::string low = digits();
    const bool fixed = end < in_.size() && in_[end] == '}';
    std::string high = low;
    if (!fixed) {
      if (end == in_.size() || in_[end] != ',') return false;
      ++end;
      high = digits();
    }
    if (end == in_.size() || in_[end] != '}' || (low.empty() && high.empty())) return false;
    for (const auto& count : {low, high})
      if (count.size() > 2 || (!count.empty() && std::stoul(count) > most_repeats))
        refuse("a count above " + std::to_string(most_repeats));
    at_ = end + 1;
    out_ += "{" + (low.empty() ? "0" : low) + (fixed ? "" : "," + high) + "}";
    while (next_is("(?#")) skip_comment();
    if (!next_is("+") && !(fixed && next_is("?"))) return true;
    out_.insert(atom_, "(?:");
    out_ += ")";
    return true;
  }

  std::string_view in_;
  const std::string& where_;
  size_t at_ = 0;
  std::string out_;
  size_t atom_ = 0;             // where in out_ the last atom begins
  std::vector<size_t> groups_;  // where in out_ the open groups begin
};

}  // namespace

std::string from_oniguruma(std::string_view pattern, const std::string& where) {
  return Translator(pattern, where).run();
}

}  // namespace ktx::text
