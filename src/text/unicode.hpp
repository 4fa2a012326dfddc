// UTF-8 decoding and Unicode properties, by utf8proc.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace ktx::text {

/// What begins at the first byte of a text.
struct Utf8Step {
  enum Kind {
    valid,      // a whole character of `size` bytes
    invalid,    // `size` bytes that begin no character: what one U+FFFD stands for
    truncated,  // the begin of a character, cut off by the end of the text; `size` is all there is
  };
  Kind kind = invalid;
  size_t size = 0;
  char32_t codepoint = 0;  // of a valid one
};

/// `text` must not be empty. Follows the Unicode standard's table 3-7 (no surrogates, no overlong
/// forms, at most U+10FFFF) and its advice on maximal subparts for what one U+FFFD replaces.
Utf8Step utf8_step(std::string_view text) noexcept;

/// Bytes of the longest valid prefix of `text`; and of the longest prefix without a valid character
/// (what is truncated counts as not valid).
size_t valid_prefix(std::string_view text) noexcept;
size_t invalid_prefix(std::string_view text) noexcept;

void append_utf8(std::string& out, char32_t codepoint);

enum class Normalization { nfc, nfd, nfkc, nfkd };

/// The text in that normalization form; bytes that are not valid UTF-8 stay as they are. A run of n
/// combining marks takes O(n log n), the rest is linear.
std::string normalize(std::string_view text, Normalization form);

bool is_space(char32_t c) noexcept;    // property White_Space
bool is_numeric(char32_t c) noexcept;  // categories Nd, Nl, No
bool is_mark(char32_t c) noexcept;     // categories Mn, Mc, Me
/// What \w means to Rust's regular expressions, near enough: letters, marks, decimal and letter
/// numbers, connector punctuation, joiners.
bool is_word(char32_t c) noexcept;

/// Appends the character's lower case.
void append_lower(std::string& out, char32_t c);

/// What Python's str methods ask of a character.
bool is_letter(char32_t c) noexcept;     // categories L*
bool is_decimal(char32_t c) noexcept;    // category Nd
bool is_printable(char32_t c) noexcept;  // shown as it is by repr()
bool is_upper(char32_t c) noexcept;
bool is_lower(char32_t c) noexcept;
bool is_title(char32_t c) noexcept;
/// One character for one: the simple mappings of Unicode.
char32_t to_upper(char32_t c) noexcept;
char32_t to_lower(char32_t c) noexcept;
char32_t to_title(char32_t c) noexcept;

/// Bytes of the character that begins at byte `at`; what is no valid one counts as one, too.
size_t character_size(std::string_view text, size_t at) noexcept;
/// Number of characters.
size_t characters(std::string_view text) noexcept;

}  // namespace ktx::text
