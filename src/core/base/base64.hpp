// Base64 decoding.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace ktx::base {

/// The bytes that the text encodes, in groups of four letters with the last one padded by '='.
/// Nothing when it is not valid base64.
std::optional<std::string> from_base64(std::string_view text);

}  // namespace ktx::base
