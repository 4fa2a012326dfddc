// Byte tokens of character vocabularies: <0x0A>.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace ktx::text {

/// The byte of a token spelled like "<0x0A>"; nothing for other tokens.
std::optional<uint8_t> byte_of_token(std::string_view token);

}  // namespace ktx::text
