// Regular expressions over UTF-8 text, by PCRE2.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/step_budget.hpp"

namespace ktx::text {

/// Byte offsets [first, second) of a match.
using Span = std::pair<size_t, size_t>;

struct RegexOptions {
  bool multiline = false;  // ^ and $ also match at line ends, as they always do in Oniguruma
};

/// A compiled pattern: UTF mode, Unicode properties for \w \d \s, JIT where the machine allows it.
/// Patterns and texts may both be hostile. PCRE2's own limits only count the backtracking of one
/// match from one position; here every item of the pattern that is tried and every character passed
/// over counts as a step, summed over a call. Exceeding the budget is an input error, never a hang.
/// Bytes that are not valid UTF-8 match nothing and separate the text on either side of them like
/// its beginning and end. Const use is thread-safe; copies share the compiled pattern.
class Regex {
 public:
  /// Throws input error "regular expression '...' does not compile: <reason> at offset N" at
  /// `where` (a file:line:column or the like).
  explicit Regex(std::string pattern, std::string where = {}, RegexOptions options = {});

  const std::string& pattern() const noexcept;

  /// Whether the pattern matches anywhere. Throws input error beyond twenty million steps.
  bool search(std::string_view text) const { return find(text).has_value(); }

  /// The first match that begins at byte `start` or later; lookbehind sees what is before `start`.
  /// Throws as search().
  std::optional<Span> find(std::string_view text, size_t start = 0) const;

  /// Finds all matches in the texts of one call, within the call's budget. The regex and the budget
  /// must outlive it; for one thread.
  class Matcher {
   public:
    Matcher(const Regex& regex, StepBudget& budget);
    ~Matcher();

    /// Appends all matches from left to right, none overlapping; no empty match right after another
    /// match. Validates the text once, so that it is linear where find() in a loop is not. Throws
    /// input error when the budget is spent.
    void find_all(std::string_view text, std::vector<Span>& matches);

   private:
    friend class Regex;
    struct State;
    std::unique_ptr<State> state_;
  };

 private:
  struct Compiled;
  std::shared_ptr<const Compiled> compiled_;
};

/// A pattern that matches exactly `text`.
std::string escape_regex(std::string_view text);

}  // namespace ktx::text
