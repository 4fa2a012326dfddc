// The door to nlohmann-json. Json keeps object keys in file order.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "core/base/object_map.hpp"

namespace ktx {

using Json = nlohmann::basic_json<base::ObjectMap>;

namespace base {

/// Parses text. Throws input error naming `where` (a file) with line and column of what is no JSON;
/// a repeated key and more than 1000 nested levels (copying and printing recurse) are errors as
/// well.
Json parse_json(std::string_view text, const std::string& where);

/// Reads and parses a file. Throws input error when it can't be read or parsed.
Json read_json(const std::filesystem::path& file);

/// Serializes; invalid UTF-8 in strings is replaced, never thrown upon.
std::string dump_json(const Json& json, int indent = -1);

}  // namespace base
}  // namespace ktx
