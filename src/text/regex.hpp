// Regular expressions over UTF-8 text: the door to PCRE2.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ktx::text {

/// Byte offsets [first, second) of a match.
using Span = std::pair<size_t, size_t>;

struct RegexOptions {
  bool multiline = false;  // ^ and $ also match at line ends, as they always do in Oniguruma
};

/// A compiled pattern: UTF mode, Unicode properties for \w \d \s, JIT where the machine allows it.
/// Patterns and texts may both be hostile. A match that needs more than a fixed number of steps (a
/// second or so of work) is an input error, never a hang. Bytes that are not valid UTF-8 match
/// nothing and bound the text on either side of them like its begin and end. Const use is
/// thread-safe; copies share the compiled pattern.
class Regex {
 public:
  /// Throws input error "regular expression '...' does not compile: <reason> at offset N" at
  /// `where` (a file:line:column or the like).
  explicit Regex(std::string pattern, std::string where = {}, RegexOptions options = {});

  const std::string& pattern() const noexcept;

  /// Does the pattern match anywhere? Throws input error when the step limit is hit.
  bool search(std::string_view text) const { return find(text).has_value(); }

  /// The first match that begins at byte `start` or later; lookbehind sees what is before `start`.
  /// Throws as search().
  std::optional<Span> find(std::string_view text, size_t start = 0) const;

  /// Appends all matches from left to right, none overlapping; no empty match right after another
  /// match. Validates the text once, so that it is linear where find() in a loop is not.
  void find_all(std::string_view text, std::vector<Span>& matches) const;

 private:
  struct Compiled;
  std::shared_ptr<const Compiled> compiled_;
};

/// `text` as a pattern that matches just it.
std::string escape_regex(std::string_view text);

}  // namespace ktx::text
