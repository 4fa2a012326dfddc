// Small text helpers for messages: nearest names, byte sizes, lists.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ktx::base {

/// The names closest to `word` by edit distance (a third of its length at most, upper and lower
/// case alike), best first.
std::vector<std::string> nearest(std::string_view word, const std::vector<std::string>& names,
                                 size_t most = 3);

/// Notes for an unknown name of a table: "did you mean 'a' or 'b'?" when something is near (a name
/// that goes on after it, "int4/32", then the nearest; where there is none, one that has it in it
/// or is in it), then "valid <plural>: a, b, c".
std::vector<std::string> suggestions(std::string_view word, const std::vector<std::string>& names,
                                     std::string_view plural);

/// "a, b, c"
std::string join(const std::vector<std::string>& words, std::string_view separator = ", ");

/// Three digits or more: "0.85", "12.3", "1378".
std::string format_number(double value);

/// The longest beginning of at most `bytes` bytes that cuts no UTF-8 character.
std::string_view beginning(std::string_view text, size_t bytes) noexcept;

/// The text, or when it is longer than `bytes` its beginning and "...": for messages.
std::string shortened(std::string_view text, size_t bytes);

/// 1536 -> "1.50 KiB"; three significant digits.
std::string format_bytes(uint64_t bytes);

/// "382GiB", "14 GiB", "512MiB", "2TB", "123B" -> bytes; nothing when it has no unit or is no size.
std::optional<uint64_t> parse_bytes(std::string_view text);

}  // namespace ktx::base
