// The text of a string literal.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace ktx::text::jinja {

/// The text between the quotes, with escapes resolved as in Python; nothing if one is malformed or
/// not a character.
std::optional<std::string> unescaped(std::string_view literal);

}  // namespace ktx::text::jinja
