// The few places where Python's `re` and PCRE2 write the same thing differently:
//   \Z                  the end of the text: \z (PCRE2's \Z may have a newline behind it)
//   {,3}                at most three: {0,3} (literal text in PCRE2 before 10.43)
//   \u0041, \U00000041  a character by its number: \x{0041}
//   (?u) (?a) (?L)      which characters \w and \d know: no difference in ASCII, left out
//   [[:x]               a set with a bracket and a colon: \[ (a POSIX class in PCRE2)
#include "placement/import/python_regex.hpp"

#include <algorithm>
#include <cctype>

namespace ktx::placement {

namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

class Translation {
 public:
  explicit Translation(std::string_view pattern) : rest_(pattern) {}

  std::string run() {
    while (!rest_.empty()) step();
    return std::move(out_);
  }

 private:
  void copy(size_t count) {
    count = std::min(count, rest_.size());
    out_ += rest_.substr(0, count);
    rest_.remove_prefix(count);
  }

  void step() {
    const char c = rest_.front();
    if (c == '\\') return escape();
    if (in_set_) return in_set();
    if (c == '[') return open_set();
    if (rest_.starts_with("(?") && flags()) return;
    if (rest_.starts_with("{,") && repeat()) return;
    copy(1);
  }

  void escape() {
    const char kind = rest_.size() > 1 ? rest_[1] : '\0';
    if (kind == 'Z' && !in_set_) {
      out_ += "\\z";
      rest_.remove_prefix(2);
      return;
    }
    const size_t digits = kind == 'u' ? 4 : kind == 'U' ? 8 : 0;
    if (digits == 0 || rest_.size() < 2 + digits) return copy(2);
    out_ += "\\x{" + std::string(rest_.substr(2, digits)) + "}";
    rest_.remove_prefix(2 + digits);
  }

  void open_set() {
    in_set_ = true;
    copy(1);
    if (rest_.starts_with('^')) copy(1);
    if (rest_.starts_with(']')) copy(1);  // the first one is itself
  }

  void in_set() {
    in_set_ = rest_.front() != ']';
    if (rest_.front() == '[') out_ += '\\';
    copy(1);
  }

  // (?u) or (?ai:...: letters up to ) or : of which a, u and L mean nothing here.
  bool flags() {
    size_t end = 2;
    while (end < rest_.size() &&
           (std::isalpha(static_cast<unsigned char>(rest_[end])) != 0 || rest_[end] == '-'))
      ++end;
    if (end == 2 || end == rest_.size() || (rest_[end] != ')' && rest_[end] != ':')) return false;
    std::string kept;
    for (const char c : rest_.substr(2, end - 2))
      if (c != 'a' && c != 'u' && c != 'L') kept += c;
    const bool nothing = kept.empty() && rest_[end] == ')';
    if (!nothing) out_ += "(?" + kept + rest_[end];
    rest_.remove_prefix(end + 1);
    return true;
  }

  // {,3}
  bool repeat() {
    size_t end = 2;
    while (end < rest_.size() && is_digit(rest_[end])) ++end;
    if (end == 2 || end == rest_.size() || rest_[end] != '}') return false;
    out_ += "{0";
    rest_.remove_prefix(1);
    copy(end);
    return true;
  }

  std::string_view rest_;
  std::string out_;
  bool in_set_ = false;
};

}  // namespace

std::string python_to_pcre2(std::string_view pattern) {
  return Translation(pattern).run();
}

}  // namespace ktx::placement
