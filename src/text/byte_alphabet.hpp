// The alphabet of printable characters in which byte-level vocabularies spell bytes.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace ktx::text {

/// GPT-2's alphabet: the bytes 21..7E, A1..AC and AE..FF stand for themselves as Latin-1
/// characters, the other 68 are U+0100.. in order (a space is U+0120, a newline U+010A).
std::string to_byte_alphabet(std::string_view bytes);

/// The inverse; nothing when `text` has a character that is not of the alphabet.
std::optional<std::string> from_byte_alphabet(std::string_view text);

}  // namespace ktx::text
