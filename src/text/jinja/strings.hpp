// Python's operations on strings, over texts: what is given stays marked as given.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/jinja/budget.hpp"
#include "text/jinja/text.hpp"

namespace ktx::text::jinja {

/// Where each character begins, and the end: one more than there are characters.
std::vector<size_t> character_offsets(std::string_view text);

/// Without the characters of `chars` (white space when null) at its ends.
struct Ends {
  bool left = true, right = true;
};
Text stripped(const Text& text, const std::string* chars, Ends ends = {});

/// Pieces between separators (runs of white space when null), at most `most` splits unless
/// negative; the splits nearest to the end with from_right.
struct SplitOptions {
  const std::string* separator = nullptr;  // not empty
  int64_t most = -1;
  bool from_right = false;
};
std::vector<Text> split(const Text& text, const SplitOptions& options);
std::vector<Text> split_lines(const Text& text, bool keep_ends);

/// Replaces all or the first `most` occurrences of `old`; an empty one is around every character.
struct Replacement {
  const std::string& old;
  const Text& by;
  int64_t most = -1;
};
Text replaced(const Text& text, const Replacement& replacement, Budget& budget);

enum class Case { upper, lower, title, capitalized, swapped, folded };
Text with_case(const Text& text, Case to);
/// Jinja's own |title: words begin after spaces, hyphens and opening brackets.
Text with_title_words(const Text& text);

Text repeated(const Text& text, int64_t times, Budget& budget);
/// `left` and `right` times the fill around the text.
struct Padding {
  int64_t left = 0, right = 0;
  Text fill = Text(" ");
};
Text padded(const Text& text, const Padding& padding, Budget& budget);
Text with_tabs_expanded(const Text& text, int64_t width, Budget& budget);
/// The characters &, <, >, ' and " as HTML entities.
Text html_escaped(const Text& text);
Text percent_encoded(const Text& text, std::string_view safe);

/// Whether this holds for all characters of a text that is not empty; `cased`: at least one
/// character has that case and none has the other.
enum class CharacterClass {
  letter,
  decimal,
  digit,
  numeric,
  alphanumeric,
  space,
  printable,
  ascii
};
bool all_are(std::string_view text, CharacterClass wanted);
bool is_cased_as(std::string_view text, Case wanted);  // upper, lower or title
bool is_identifier(std::string_view text);
size_t count_words(std::string_view text);

}  // namespace ktx::text::jinja
