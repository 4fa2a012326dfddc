// Text helpers for messages: nearest names, byte sizes, lists.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ktx::base {

/// The names closest to `word` by case-insensitive edit distance, at most a third of its length;
/// best first.
std::vector<std::string> nearest(std::string_view word, const std::vector<std::string>& names,
                                 size_t most = 3);

/// Notes for an unknown name: "did you mean 'a' or 'b'?" with names that begin with it ("int4/32")
/// and the nearest ones, or else with names that contain it or that it contains; then "valid
/// <plural>: a, b, c".
std::vector<std::string> suggestions(std::string_view word, const std::vector<std::string>& names,
                                     std::string_view plural);

/// "a, b, c"
std::string join(const std::vector<std::string>& words, std::string_view separator = ", ");

/// With three significant digits or all integer digits: "0.85", "12.3", "1378".
std::string format_number(double value);

/// The longest prefix of at most `bytes` bytes that does not split a UTF-8 character.
std::string_view beginning(std::string_view text, size_t bytes) noexcept;

/// The text, or, if it is longer than `bytes`, its beginning and "...".
std::string shortened(std::string_view text, size_t bytes);

/// 1536 -> "1.50 KiB"; three significant digits.
std::string format_bytes(uint64_t bytes);

/// "382GiB", "14 GiB", "512MiB", "2TB", "123B" -> bytes; nothing when it is not a size with a unit.
std::optional<uint64_t> parse_bytes(std::string_view text);

}  // namespace ktx::base
