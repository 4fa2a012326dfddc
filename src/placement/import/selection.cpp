// Sets of modules described: equal modules of many layers are one kind; kinds that share their
// layers are one match; a class or the layers alone are tried before a list of names.
#include "placement/import/selection.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "core/base/error.hpp"
#include "core/base/json.hpp"
#include "core/base/text.hpp"
#include "placement/match.hpp"

namespace ktx::placement {

namespace {

using Layers = std::set<int>;

/// Modules of one name in several layers; outside the layers, one module.
struct Kind {
  std::string tail;  // of the path, below the layer
  bool in_layers = false;
  Layers wanted, open;
};

/// Kinds that one match selects: in some layers, or wherever no earlier rule has taken them.
struct Group {
  std::optional<Layers> layers;
  std::vector<Kind> kinds;

  bool fits(const Kind& kind) const {
    if (!layers) return kind.wanted == kind.open;
    if (!kind.in_layers) return false;
    Layers both;
    std::ranges::set_intersection(*layers, kind.open, std::inserter(both, both.end()));
    return both == kind.wanted;
  }
};

std::string tail_of(const graph::Module& module) {
  if (module.layer < 0) return module.path;
  const std::string prefix = "model.layers." + std::to_string(module.layer) + ".";
  return module.path.starts_with(prefix) ? module.path.substr(prefix.size()) : module.path;
}

std::vector<Kind> kinds_of(const graph::Model& model, const ModuleSet& wanted,
                           const ModuleSet& open) {
  std::vector<Kind> kinds;
  std::map<std::string, size_t> found;
  for (size_t i = 0; i < model.modules.size(); ++i) {
    if (!open[i]) continue;
    const auto& module = model.modules[i];
    const auto [at, is_new] = found.emplace(tail_of(module), kinds.size());
    if (is_new) kinds.push_back({at->first, module.layer >= 0, {}, {}});
    kinds[at->second].open.insert(module.layer);
    if (wanted[i]) kinds[at->second].wanted.insert(module.layer);
  }
  std::erase_if(kinds, [](const Kind& kind) { return kind.wanted.empty(); });
  // Kinds in the most layers first, because others may fit into their groups.
  std::ranges::stable_sort(
      kinds, [](const Kind& a, const Kind& b) { return a.wanted.size() > b.wanted.size(); });
  return kinds;
}

std::vector<Group> groups_of(const std::vector<Kind>& kinds) {
  std::vector<Group> groups;
  for (const auto& kind : kinds) {
    auto group = std::ranges::find_if(groups, [&](const Group& g) { return g.fits(kind); });
    if (group == groups.end()) {
      const bool everywhere = kind.wanted == kind.open;
      groups.push_back({everywhere ? std::nullopt : std::optional(kind.wanted), {}});
      group = groups.end() - 1;
    }
    group->kinds.push_back(kind);
  }
  return groups;
}

std::vector<LayerRange> ranges(const Layers& layers) {
  std::vector<LayerRange> out;
  for (const int layer : layers)
    if (!out.empty() && out.back().last == layer - 1)
      out.back().last = layer;
    else
      out.push_back({layer, layer});
  return out;
}

ModuleSet modules_of(const Group& group, const graph::Model& model, const ModuleSet& wanted) {
  ModuleSet set(model.modules.size());
  for (size_t i = 0; i < set.size(); ++i)
    set[i] = wanted[i] && std::ranges::find(group.kinds, tail_of(model.modules[i]), &Kind::tail) !=
                              group.kinds.end();
  return set;
}

// \.(a|b)$|^(c|d)$
std::string name_pattern(const std::vector<Kind>& kinds) {
  std::vector<std::string> inside, outside, parts;
  for (const auto& kind : kinds) {
    std::string name;
    for (const char c : kind.tail) name += c == '.' ? "\\." : std::string(1, c);
    (kind.in_layers ? inside : outside).push_back(std::move(name));
  }
  const auto either = [](const std::vector<std::string>& names) {
    return names.size() == 1 ? names.front() : "(" + base::join(names, "|") + ")";
  };
  if (!inside.empty()) parts.push_back("\\." + either(inside) + "$");
  if (!outside.empty()) parts.push_back("^" + either(outside) + "$");
  return base::join(parts, "|");
}

Given<NamePattern> given_pattern(std::string text) {
  auto regex = std::make_shared<const text::Regex>(text);
  return {{std::move(text), std::move(regex)}, {}};
}

Layers layers_of(const Group& group) {
  Layers layers;
  for (const auto& kind : group.kinds) layers.insert(kind.wanted.begin(), kind.wanted.end());
  return layers;
}

// The possible ways to write the match, the shortest first.
std::vector<Match> candidates(const Group& group) {
  Match limits;
  if (group.layers) limits.layers = {ranges(*group.layers), {}};
  std::vector<Match> out;
  if (group.layers) out.push_back(limits);
  for (const auto& row : graph::classes()) {
    out.push_back(limits);
    out.back().class_name = {std::string(row.name), {}};
  }
  if (!group.layers) {
    out.push_back(limits);
    out.back().name = given_pattern(".*");
    out.push_back(limits);
    out.back().layers = {ranges(layers_of(group)), {}};
  }
  out.push_back(limits);
  out.back().name = given_pattern(name_pattern(group.kinds));
  return out;
}

}  // namespace

ModuleSet run_modules(const graph::Model& model) {
  ModuleSet set(model.modules.size());
  for (size_t i = 0; i < set.size(); ++i) set[i] = model.modules[i].unused.empty();
  return set;
}

bool is_empty(const ModuleSet& set) noexcept {
  return std::ranges::find(set, char{1}) == set.end();
}

ModuleSet taken(const Match& match, const graph::Model& model, const ModuleSet& open) {
  ModuleSet set(model.modules.size());
  for (size_t i = 0; i < set.size(); ++i) set[i] = open[i] && matches(match, model.modules[i]);
  return set;
}

std::vector<Match> select(const graph::Model& model, const ModuleSet& wanted,
                          const ModuleSet& open) {
  std::vector<Match> out;
  for (const auto& group : groups_of(kinds_of(model, wanted, open))) {
    const auto modules = modules_of(group, model, wanted);
    auto all = candidates(group);
    const auto exact = std::ranges::find_if(
        all, [&](const Match& match) { return taken(match, model, open) == modules; });
    require(exact != all.end(), "modules of one name can't be told from others");
    out.push_back(std::move(*exact));
  }
  return out;
}

std::string common_class(const graph::Model& model, const ModuleSet& modules) {
  std::string common;
  for (size_t i = 0; i < modules.size(); ++i) {
    if (!modules[i]) continue;
    const auto& own = model.modules[i].classes.front();
    if (common.empty()) common = own;
    if (common != own) return "modules";
  }
  return common;
}

std::string flow_text(const Match& match) {
  std::vector<std::string> keys;
  if (match.class_name) keys.push_back("class: " + match.class_name->value);
  if (match.name) keys.push_back("name: " + base::yaml_quoted(match.name->value.text));
  if (match.layers) {
    const auto layers = to_string(match.layers->value);
    keys.push_back("layers: " +
                   (layers.find(',') == std::string::npos ? layers : base::yaml_quoted(layers)));
  }
  return "{" + base::join(keys) + "}";
}

}  // namespace ktx::placement
