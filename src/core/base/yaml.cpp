// YAML through yaml-cpp, copied into ktx's own tree so that no other file sees yaml-cpp.
#include "core/base/yaml.hpp"

#include <yaml-cpp/yaml.h>

#include <charconv>
#include <cmath>
#include <set>

#include "core/base/error.hpp"
#include "core/base/file.hpp"

namespace ktx::base {

namespace {

constexpr int max_depth = 64;

std::string position(const std::string& file, const YAML::Mark& mark) {
  if (mark.is_null()) return file;
  return file + ":" + std::to_string(mark.line + 1) + ":" + std::to_string(mark.column + 1);
}

Yaml convert(const YAML::Node& node, const std::string& file, int depth) {
  Yaml out;
  out.where = position(file, node.Mark());
  if (depth > max_depth) throw_input("YAML nested deeper than 64 levels", out.where);
  if (node.IsScalar()) {
    out.kind = YamlKind::scalar;
    out.scalar = node.Scalar();
    out.quoted = node.Tag() == "!";
  } else if (node.IsSequence()) {
    out.kind = YamlKind::sequence;
    for (const auto& item : node) out.items.push_back(convert(item, file, depth + 1));
  } else if (node.IsMap()) {
    out.kind = YamlKind::map;
    std::set<std::string> seen;
    for (const auto& entry : node) {
      Yaml key = convert(entry.first, file, depth + 1);
      if (key.kind != YamlKind::scalar) throw_input("a key must be a plain word", key.where);
      if (!seen.insert(key.scalar).second)
        throw_input("key '" + key.scalar + "' is given twice", key.where);
      out.entries.emplace_back(std::move(key), convert(entry.second, file, depth + 1));
    }
  }
  return out;
}

[[noreturn]] void wrong(const Yaml& node, std::string_view what, const char* expected) {
  throw_input(std::string(what) + ": expected " + expected + ", found " + node.describe(),
              node.where);
}

}  // namespace

const Yaml* Yaml::find(std::string_view key) const noexcept {
  for (const auto& [k, v] : entries)
    if (k.scalar == key) return &v;
  return nullptr;
}

std::string Yaml::describe() const {
  switch (kind) {
    case YamlKind::scalar: return "'" + scalar + "'";
    case YamlKind::sequence: return "a list";
    case YamlKind::map: return "a map";
    case YamlKind::null: break;
  }
  return "nothing";
}

const std::string& Yaml::as_string(std::string_view what) const {
  if (kind != YamlKind::scalar) wrong(*this, what, "a text");
  return scalar;
}

int64_t Yaml::as_int(std::string_view what) const {
  int64_t value = 0;
  const char* end = scalar.data() + scalar.size();
  if (kind != YamlKind::scalar || scalar.empty()) wrong(*this, what, "a whole number");
  const auto [stop, error] = std::from_chars(scalar.data(), end, value);
  if (error != std::errc{} || stop != end) wrong(*this, what, "a whole number");
  return value;
}

double Yaml::as_double(std::string_view what) const {
  double value = 0;
  const char* end = scalar.data() + scalar.size();
  if (kind != YamlKind::scalar || scalar.empty()) wrong(*this, what, "a number");
  const auto [stop, error] = std::from_chars(scalar.data(), end, value);
  if (error != std::errc{} || stop != end || !std::isfinite(value)) wrong(*this, what, "a number");
  return value;
}

bool Yaml::as_bool(std::string_view what) const {
  if (kind == YamlKind::scalar && scalar == "true") return true;
  if (kind == YamlKind::scalar && scalar == "false") return false;
  wrong(*this, what, "true or false");
}

const std::vector<Yaml>& Yaml::as_sequence(std::string_view what) const {
  if (kind != YamlKind::sequence) wrong(*this, what, "a list");
  return items;
}

const std::vector<std::pair<Yaml, Yaml>>& Yaml::as_map(std::string_view what) const {
  if (kind != YamlKind::map) wrong(*this, what, "a map");
  return entries;
}

Yaml parse_yaml(const std::string& text, const std::string& file) {
  try {
    return convert(YAML::Load(text), file, 0);
  } catch (const YAML::Exception& e) {
    throw_input("not valid YAML: " + e.msg, position(file, e.mark));
  }
}

Yaml read_yaml(const std::filesystem::path& file) {
  return parse_yaml(read_text(file), file.string());
}

}  // namespace ktx::base
