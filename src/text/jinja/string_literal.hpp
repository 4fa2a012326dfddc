// The text of a string literal.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace ktx::text::jinja {

/// What stands between the quotes, its escapes resolved as Python does; nothing when one of them is
/// broken or no character.
std::optional<std::string> unescaped(std::string_view literal);

}  // namespace ktx::text::jinja
