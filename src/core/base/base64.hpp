// Bytes written as text in base 64.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace ktx::base {

/// The bytes that the text stands for: groups of four letters, the last one padded with '='.
/// Nothing when it is not such a text.
std::optional<std::string> from_base64(std::string_view text);

}  // namespace ktx::base
