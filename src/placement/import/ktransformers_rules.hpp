// KTransformers' optimize rules ("injection rules"), as their file has them.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/base/yaml.hpp"
#include "placement/rules.hpp"

namespace ktx::placement {

/// A line of the file that has no equal in ktx, and why.
struct Remark {
  int line = 0;
  std::string text;
};

/// One rule: modules whose name contains `name` and whose Python class is `class_name`, or one
/// derived from it, are replaced. The first rule that matches a module decides.
struct InjectionRule {
  int line = 0;
  Maybe<NamePattern> name;        // in PCRE2's writing; text: as the file has it
  Maybe<std::string> class_name;  // with its Python package
  std::string replacement;        // a Python class, or "default": the module as it was
  std::vector<std::pair<base::Yaml, base::Yaml>> kwargs;
  bool recursive = true;  // whether rules are looked for for modules inside
  std::vector<Remark> remarks;
};

/// Throws input error with file:line:column for what is no such file.
std::vector<InjectionRule> parse_injection_rules(const base::Yaml& file);

/// The line of "file:line:column"; 0 without one.
int line_of(const std::string& where) noexcept;

/// "...deepseek_v3.DeepseekV3MoE" -> "DeepseekV3MoE"
std::string last_component(const std::string& python_class);

}  // namespace ktx::placement
