// Which of KTransformers' rules decides each module of a model.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "core/graph/graph.hpp"
#include "placement/import/ktransformers_rules.hpp"
#include "placement/import/ktransformers_terms.hpp"

namespace ktx::placement {

/// A model as KTransformers walks it: every module from the root down gets the first rule that
/// matches it; below a rule with recursive: False none is looked for.
class InjectedModel {
 public:
  InjectedModel(const graph::Model& model, const std::vector<InjectionRule>& rules);

  /// The number of the rule that decides each module of the model; -1: none.
  const std::vector<int>& deciding() const noexcept { return deciding_; }

  /// Whether the rule, were it alone, would take a module of the model.
  bool matches_module(const InjectionRule& rule) const;
  /// Whether it matches a block of modules: model, a layer, mlp, ...
  bool matches_block(const InjectionRule& rule) const;

 private:
  bool matches(const InjectionRule& rule, const std::string& path) const;
  int first_rule(const std::string& path);
  int decide(const std::string& path);

  const std::vector<InjectionRule>& rules_;
  std::vector<std::string> paths_;                      // of each module, as KTransformers names it
  std::map<std::string, std::vector<PythonKind>> all_;  // of all modules and blocks
  std::map<std::string, int> first_;                    // remembered
  std::vector<int> deciding_;
};

}  // namespace ktx::placement
