// YAML, by yaml-cpp: an immutable tree in which every node knows its file:line:column.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace ktx::base {

enum class YamlKind { null, scalar, sequence, map };

class Yaml {
 public:
  Yaml();  // defined in the .cpp: Clang needs the complete type of `entries` for it

  YamlKind kind = YamlKind::null;
  std::string scalar;                          // kind == scalar: the text as written
  bool quoted = false;                         // the scalar was written in quotes
  std::vector<Yaml> items;                     // kind == sequence
  std::vector<std::pair<Yaml, Yaml>> entries;  // kind == map, in file order; keys are scalars
  std::string where;                           // "file:line:column", from 1

  /// The value of a key, or nullptr.
  const Yaml* find(std::string_view key) const noexcept;

  /// Typed access. Throws input error at `where`: "<what>: expected ..., found ...".
  const std::string& as_string(std::string_view what) const;
  int64_t as_int(std::string_view what) const;
  double as_double(std::string_view what) const;
  bool as_bool(std::string_view what) const;
  const std::vector<Yaml>& as_sequence(std::string_view what) const;
  const std::vector<std::pair<Yaml, Yaml>>& as_map(std::string_view what) const;

  /// For messages: `'text'`, `a list`, `a map` or `nothing`.
  std::string describe() const;
};

/// Parses one document. Throws input error with file:line:column on bad YAML or a duplicate key.
Yaml parse_yaml(const std::string& text, const std::string& file);
Yaml read_yaml(const std::filesystem::path& file);

/// The text as a quoted YAML scalar.
std::string yaml_quoted(const std::string& text);

}  // namespace ktx::base
