// The door to nlohmann-json. Json keeps object keys in file order and searches them one by one: go
// through an object of many members instead of looking each of them up.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace ktx {

using Json = nlohmann::ordered_json;

namespace base {

/// Parses text. Throws input error naming `where` (a file) with line and column of what is no JSON;
/// a repeated key, more than 1000 nested levels (copying and printing recurse) and more than
/// limits::values values are errors as well.
Json parse_json(std::string_view text, const std::string& where);

/// Reads and parses a file; NaN and Infinity, which Python writes, become texts. Throws input error
/// when it can't be read or parsed.
Json read_json(const std::filesystem::path& file);

/// Adds a member at the object's end. It does not look for the key, which must be a new one:
/// objects of many members are built with it in linear time.
void append(Json& object, std::string key, Json value);

/// Serializes; invalid UTF-8 in strings is replaced, never thrown upon.
std::string dump_json(const Json& json, int indent = -1);

}  // namespace base
}  // namespace ktx
