// The spelling of bytes in vocabularies of characters: <0x0A>.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace ktx::text {

/// "<0x0A>" for 10.
std::string byte_token(uint8_t byte);

/// The byte that a token of this spelling stands for.
std::optional<uint8_t> byte_of_token(std::string_view token);

}  // namespace ktx::text
