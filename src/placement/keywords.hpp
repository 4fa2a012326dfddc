// The tables of rule keywords: one row a keyword. Parser, error suggestions, docs and the JSON
// Schema follow from them.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.hpp"
#include "core/base/json.hpp"
#include "core/base/text.hpp"
#include "core/base/yaml.hpp"
#include "core/hw/machine.hpp"
#include "placement/apply.hpp"
#include "placement/rules.hpp"
#include "placement/settings.hpp"

namespace ktx::placement {

/// schema: of the values that parse takes, for editors. parse: from YAML into Target, errors at the
/// value's place. apply: what the keyword does when a plan is made; it does nothing when its
/// keyword was not given.
template <class Target, class Apply>
struct Keyword {
  std::string_view name, type, doc;
  Json (*schema)();
  void (*parse)(const base::Yaml& value, Target& target);
  Apply apply;
};

/// apply: whether the module fulfils this key (true when the key was not given).
using MatchKeyword = Keyword<Match, bool (*)(const Match&, const graph::Module&)>;
/// apply: decides its part of a module's place.
using PlaceKeyword = Keyword<Place, void (*)(const Place&, Decision&)>;
/// apply: throws when the machine lacks it.
using MachineKeyword = Keyword<MachineNeeds, void (*)(const MachineNeeds&, const hw::Machine&)>;
/// apply: decides a setting of the plan.
using ModelKeyword = Keyword<ModelSettings, void (*)(const Setup&)>;
using CacheKeyword = Keyword<CacheSettings, void (*)(const Setup&)>;
/// apply: the same, or null for a keyword that only holds others.
using FileKeyword = Keyword<Rules, void (*)(const Setup&)>;
/// Keywords that only hold others.
using RuleKeyword = Keyword<Rule, std::nullptr_t>;

std::span<const MatchKeyword> match_keywords() noexcept;
std::span<const PlaceKeyword> place_keywords() noexcept;
std::span<const MachineKeyword> machine_keywords() noexcept;
std::span<const ModelKeyword> model_keywords() noexcept;
std::span<const CacheKeyword> cache_keywords() noexcept;
std::span<const RuleKeyword> rule_keywords() noexcept;
std::span<const FileKeyword> file_keywords() noexcept;

/// The names of a table's rows.
template <class Row, size_t Extent>
std::vector<std::string> keyword_names(std::span<const Row, Extent> table) {
  std::vector<std::string> names;
  for (const auto& row : table) names.emplace_back(row.name);
  return names;
}

/// Parses a map by a table; what: where these keys stand, for messages ("place").
template <class Target, class Apply>
void parse_keywords(const base::Yaml& map, std::span<const Keyword<Target, Apply>> table,
                    std::string_view what, Target& target) {
  if (map.kind != base::YamlKind::map)
    throw_input(std::string(what) + ": expected a map, found " + map.describe(), map.where,
                {"its keys: " + base::join(keyword_names(table))});
  for (const auto& [key, value] : map.entries) {
    const Keyword<Target, Apply>* found = nullptr;
    for (const auto& row : table)
      if (row.name == key.scalar) found = &row;
    if (found == nullptr)
      throw_input("unknown key '" + key.scalar + "' in " + std::string(what), key.where,
                  base::suggestions(key.scalar, keyword_names(table), "keys"));
    found->parse(value, target);
  }
}

/// The JSON Schema of a map by a table.
template <class Row, size_t Extent>
Json map_schema(std::span<const Row, Extent> table,
                std::initializer_list<const char*> required = {}) {
  Json out{{"type", "object"}, {"additionalProperties", false}, {"properties", Json::object()}};
  for (const auto& row : table) {
    Json property{{"description", std::string(row.type) + "\n\n" + std::string(row.doc)}};
    property.update(row.schema());
    base::append(out["properties"], std::string(row.name), std::move(property));
  }
  for (const char* name : required) out["required"].push_back(name);
  return out;
}

/// The reference of all keywords, as plain text of at most 100 columns.
std::string keyword_reference();

}  // namespace ktx::placement
