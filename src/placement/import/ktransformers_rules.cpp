// The shape of KTransformers' files: a list of {match, replace, recursive}.
#include "placement/import/ktransformers_rules.hpp"

#include <cctype>
#include <cstdlib>

#include "core/base/error.hpp"
#include "placement/import/python_regex.hpp"
#include "placement/values.hpp"

namespace ktx::placement {

using base::Yaml;
using base::YamlKind;

namespace {

constexpr const char* example =
    "a rule is {match: {name: PATTERN, class: CLASS}, replace: {class: CLASS, kwargs: {...}}}";

void no_equal(InjectionRule& rule, const Yaml& key, const Yaml& value, const std::string& why) {
  rule.remarks.push_back(
      {line_of(key.where), key.scalar + ": " + flow_text(value) + ": no equal: " + why});
}

// True and False, as PyYAML reads them.
bool python_bool(const Yaml& value) {
  Yaml lower = value;
  for (char& c : lower.scalar) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return lower.as_bool("recursive");
}

void parse_match(const Yaml& map, InjectionRule& rule) {
  for (const auto& [key, value] : map.as_map("match")) {
    if (key.scalar == "name") {
      const auto& written = value.as_string("name");
      auto regex = std::make_shared<const text::Regex>(python_to_pcre2(written), value.where);
      rule.name = {{written, std::move(regex)}, value.where};
    } else if (key.scalar == "class") {
      rule.class_name = {value.as_string("class"), value.where};
    } else {
      no_equal(rule, key, value, "KTransformers does not know this key of match either");
    }
  }
  if (!rule.name && !rule.class_name)
    throw_input("match has neither name nor class", map.where, {example});
}

void parse_replace(const Yaml& map, InjectionRule& rule) {
  for (const auto& [key, value] : map.as_map("replace")) {
    if (key.scalar == "class")
      rule.replacement = value.as_string("class");
    else if (key.scalar == "kwargs" && value.kind != YamlKind::null)
      rule.kwargs = value.as_map("kwargs");
    else if (key.scalar == "device")
      no_equal(rule, key, value, "ktx loads weights straight to where they run");
    else if (key.scalar != "kwargs")
      no_equal(rule, key, value, "KTransformers does not know this key of replace either");
  }
}

InjectionRule parse_rule(const Yaml& yaml) {
  InjectionRule rule{.line = line_of(yaml.where), .replacement = "default"};
  bool has_match = false, has_replace = false;
  for (const auto& [key, value] : yaml.as_map("a rule of KTransformers")) {
    if (key.scalar == "match") {
      has_match = true;
      parse_match(value, rule);
    } else if (key.scalar == "replace") {
      has_replace = true;
      parse_replace(value, rule);
    } else if (key.scalar == "recursive") {
      rule.recursive = python_bool(value);
    } else {
      no_equal(rule, key, value, "KTransformers does not know this key of a rule either");
    }
  }
  if (!has_match) throw_input("a rule of KTransformers has no match", yaml.where, {example});
  if (!has_replace) throw_input("a rule of KTransformers has no replace", yaml.where, {example});
  return rule;
}

}  // namespace

int line_of(const std::string& where) noexcept {
  const auto line = file_and_line(where);
  const size_t colon = line.rfind(':');
  return colon == std::string::npos ? 0 : std::atoi(line.c_str() + colon + 1);
}

std::string last_component(const std::string& python_class) {
  return python_class.substr(python_class.rfind('.') + 1);
}

std::vector<InjectionRule> parse_injection_rules(const Yaml& file) {
  if (file.kind == YamlKind::map && file.find("ktx") != nullptr)
    throw_input("expected rules of KTransformers, found a rules file of ktx", file.where,
                {"it needs no import: ktx-plan --rules FILE"});
  if (file.kind != YamlKind::sequence || file.items.empty())
    throw_input("expected a list of KTransformers' rules, found " + file.describe(), file.where,
                {example});
  std::vector<InjectionRule> rules;
  for (const auto& item : file.items) rules.push_back(parse_rule(item));
  return rules;
}

}  // namespace ktx::placement
