// Reading a rules file: the shape of the whole; the keywords are in keywords.cpp.
#include "placement/rules.hpp"

#include <map>

#include "core/base/error.hpp"
#include "core/base/limits.hpp"
#include "core/base/printable.hpp"
#include "core/base/text.hpp"
#include "placement/keywords.hpp"
#include "placement/values.hpp"

namespace ktx::placement {

namespace {

// match and place as one line of YAML, for the plan.
std::string rule_text(const base::Yaml& yaml) {
  std::vector<std::string> parts;
  for (const auto& [key, value] : yaml.entries)
    if (key.scalar != "name") parts.push_back(key.scalar + ": " + flow_text(value));
  return base::join(parts);
}

// Notes on a file that is a list: says what it is if it belongs to another program.
std::vector<std::string> list_notes(const base::Yaml& list) {
  for (const auto& item : list.items)
    if (item.find("match") != nullptr && item.find("replace") != nullptr)
      return {"these are rules of KTransformers; `ktx-plan import FILE` translates them"};
  return {"a rules file begins with 'ktx: 1'; its list of rules is the value of 'rules:'"};
}

Rule parse_rule(const base::Yaml& yaml, size_t number) {
  Rule rule;
  rule.where = yaml.where;
  const std::string ordinal = "rule " + std::to_string(number);
  parse_keywords(yaml, rule_keywords(), ordinal, rule);
  if (rule.name.empty())
    throw_input(ordinal + " has no name", yaml.where,
                {"give it one, e.g. name: attention; the plan and messages use it"});
  if (!rule.has_match)
    throw_input("rule '" + rule.name + "' has no match", yaml.where,
                {"match: {name: '.*'} matches every module"});
  const Match& match = rule.match;
  if (!match.name && !match.class_name && !match.layers)
    throw_input("match of rule '" + rule.name + "' is empty", match.where,
                {"give at least one of: " + base::join(keyword_names(match_keywords()))});
  if (!rule.has_place)
    throw_input("rule '" + rule.name + "' has no place", yaml.where,
                {"place: {device: cpu, format: keep} runs modules on the CPU as they are stored"});
  rule.name = base::printable(rule.name);
  rule.text = base::printable(rule_text(yaml));
  return rule;
}

// A profile of experts lies beside the rules file.
void read_profile(const std::string& rules_file, Place& place) {
  if (!place.experts || !place.experts->value.profile) return;
  auto& experts = place.experts->value;
  const auto path = std::filesystem::path(rules_file).parent_path() / experts.profile->value;
  if (!std::filesystem::exists(path))
    throw_input("by: there is no profile of experts " + path.string(), experts.profile->where,
                {"without by: the first experts by number stay"});
  experts.order = read_expert_order(path);
}

}  // namespace

std::string to_string(const std::vector<LayerRange>& ranges) {
  std::vector<std::string> parts;
  for (const auto& range : ranges)
    parts.push_back(range.first == range.last
                        ? std::to_string(range.first)
                        : std::to_string(range.first) + "-" + std::to_string(range.last));
  return base::join(parts, ",");
}

std::string file_and_line(const std::string& where) {
  const size_t column = where.rfind(':');
  if (column == std::string::npos || where.rfind(':', column - 1) == std::string::npos)
    return where;
  return where.substr(0, column);
}

void parse_rule_list(const base::Yaml& list, Rules& rules) {
  if (list.kind == base::YamlKind::map)
    throw_input("rules: expected a list, found a map", list.where,
                {"each rule of the list begins with a dash: - name: rest"});
  const auto& items = list.as_sequence("rules");
  if (items.size() > static_cast<size_t>(limits::rules))
    throw_input("rules: expected at most " + std::to_string(limits::rules) + ", found " +
                    std::to_string(items.size()),
                list.where);
  std::map<std::string, std::string> names;  // and their positions
  for (const auto& item : items) {
    Rule rule = parse_rule(item, rules.rules.size() + 1);
    const auto [other, is_new] = names.emplace(rule.name, rule.where);
    if (!is_new)
      throw_input("two rules have the name '" + rule.name + "'", rule.where,
                  {"the other is at " + file_and_line(other->second)});
    rules.rules.push_back(std::move(rule));
  }
}

Rules parse_rules(const base::Yaml& yaml, const std::string& file) {
  Rules rules;
  rules.file = file;
  const bool empty = yaml.kind == base::YamlKind::null;
  const std::string where = empty ? file + ":1:1" : yaml.where;
  if (yaml.kind != base::YamlKind::map)
    throw_input("a rules file is a map with the keys " +
                    base::join(keyword_names(file_keywords())) + "; found " + yaml.describe(),
                where, list_notes(yaml));
  // The version first, because it decides which other keys are valid.
  if (yaml.find("ktx") == nullptr)
    throw_input("the rules file does not give its schema version", where,
                {"begin it with the line 'ktx: 1'"});
  parse_keywords(yaml, file_keywords(), "the rules file", rules);
  for (auto& rule : rules.rules) read_profile(file, rule.place);
  if (rules.rules.empty())
    throw_input("the rules file has no rules", where,
                {"a rule for everything: {name: rest, match: {name: '.*'}, place: {device: cpu}}"});
  return rules;
}

Rules read_rules(const std::filesystem::path& file) {
  return parse_rules(base::read_yaml(file), file.string());
}

}  // namespace ktx::placement
