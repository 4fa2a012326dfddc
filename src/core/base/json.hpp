// JSON, by nlohmann-json. Objects keep their keys in file order and search them linearly: iterate
// over an object with many members instead of looking each of them up.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace ktx {

using Json = nlohmann::ordered_json;

namespace base {

/// Parses text. Throws input error with file (`where`), line and column of invalid JSON; repeated
/// keys, more than 1000 nested levels (copying and printing recurse), and more than limits::values
/// values are errors as well.
Json parse_json(std::string_view text, const std::string& where);

/// Reads and parses a file; NaN and Infinity, which Python writes, become strings. Throws input
/// error when it can't be read or parsed.
Json read_json(const std::filesystem::path& file);

/// Appends a member to an object. The key must be new; it is not searched for, so that objects with
/// many members are built in linear time.
void append(Json& object, std::string key, Json value);

/// Serializes; invalid UTF-8 in strings is replaced and never throws.
std::string dump_json(const Json& json, int indent = -1);

}  // namespace base
}  // namespace ktx
