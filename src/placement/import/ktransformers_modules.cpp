// The tree that KTransformers walks, rebuilt from the paths of a model's modules.
#include "placement/import/ktransformers_modules.hpp"

#include <algorithm>

namespace ktx::placement {

namespace {

using Kinds = std::vector<PythonKind>;

// The module that computes attention is the block there; Mixtral's experts are in block_sparse_moe.
std::string kt_path(const graph::Module& module, const std::string& architecture) {
  std::string path = module.path;
  if (module.op == "mla") path.resize(path.rfind('.'));
  const size_t mlp = path.find(".mlp.");
  if (architecture == "mixtral" && mlp != std::string::npos)
    path.replace(mlp, 5, ".block_sparse_moe.");
  return path;
}

Kinds kinds_of(const graph::Module& module, const std::string& architecture) {
  if (module.op == "mla" || module.op == "gqa") return {PythonKind::attention};
  if (module.has_class("norm")) return {PythonKind::norm};
  if (module.has_class("embedding")) return {PythonKind::embedding};
  if (module.has_class("moe.experts")) return {PythonKind::list};
  if (!module.has_class("moe.router")) return {PythonKind::linear};
  const bool own_class = architecture.starts_with("deepseek") || architecture.starts_with("kimi");
  return own_class ? Kinds{PythonKind::router} : Kinds{PythonKind::router, PythonKind::linear};
}

Kinds kinds_of_block(const std::string& path) {
  const auto name = last_component(path);
  if (path.empty()) return {PythonKind::causal_lm};
  if (path == "model") return {PythonKind::model};
  if (path == "model.layers") return {PythonKind::list};
  if (name == "self_attn") return {PythonKind::attention};
  if (name == "mlp" || name == "shared_experts" || name == "shared_expert")
    return {PythonKind::mlp};
  if (name == "block_sparse_moe") return {PythonKind::moe};
  return {PythonKind::layer};
}

std::string parent(const std::string& path) {
  const size_t dot = path.rfind('.');
  return dot == std::string::npos ? "" : path.substr(0, dot);
}

}  // namespace

InjectedModel::InjectedModel(const graph::Model& model, const std::vector<InjectionRule>& rules)
    : rules_(rules), deciding_(model.modules.size(), -1) {
  const auto& architecture = model.info.architecture;
  for (const auto& module : model.modules) {
    paths_.push_back(kt_path(module, architecture));
    if (!module.unused.empty()) continue;
    all_[paths_.back()] = kinds_of(module, architecture);
    for (std::string block = paths_.back(); !block.empty();) {
      block = parent(block);
      all_.try_emplace(block, kinds_of_block(block));
    }
  }
  for (auto& [path, kinds] : all_)
    if (path.ends_with(".mlp") && all_.contains(path + ".experts")) kinds = {PythonKind::moe};
  for (size_t i = 0; i < paths_.size(); ++i)
    if (model.modules[i].unused.empty()) deciding_[i] = decide(paths_[i]);
}

bool InjectedModel::matches(const InjectionRule& rule, const std::string& path) const {
  const auto known = all_.find(path);
  if (known == all_.end()) return false;  // a module that is not run
  if (rule.class_name) {
    const auto kind = python_kind(rule.class_name->value);
    const auto& kinds = known->second;
    if (kind != PythonKind::any && std::ranges::find(kinds, kind) == kinds.end()) return false;
  }
  return !rule.name || rule.name->value.regex->search(path);
}

int InjectedModel::first_rule(const std::string& path) {
  const auto [at, is_new] = first_.try_emplace(path, -1);
  if (!is_new) return at->second;
  for (size_t r = 0; r < rules_.size() && at->second < 0; ++r)
    if (matches(rules_[r], path)) at->second = static_cast<int>(r);
  return at->second;
}

int InjectedModel::decide(const std::string& path) {
  if (!path.empty()) {
    const int above = decide(parent(path));
    if (above >= 0 && !rules_[static_cast<size_t>(above)].recursive) return above;
  }
  return first_rule(path);
}

bool InjectedModel::matches_module(const InjectionRule& rule) const {
  return std::ranges::any_of(paths_, [&](const auto& path) { return matches(rule, path); });
}

bool InjectedModel::matches_block(const InjectionRule& rule) const {
  return std::ranges::any_of(all_, [&](const auto& entry) { return matches(rule, entry.first); });
}

}  // namespace ktx::placement
