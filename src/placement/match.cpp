// Matching of rules and modules, and the errors of rules that never apply.
#include "placement/match.hpp"

#include <algorithm>
#include <array>
#include <set>

#include "core/base/error.hpp"
#include "core/base/text.hpp"
#include "model/tensor_names.hpp"
#include "placement/keywords.hpp"

namespace ktx::placement {

namespace {

std::string count_of(size_t count, const char* noun) {
  return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

// Parts of module paths that a pattern may have meant: components, and suffixes of paths.
std::vector<std::string> path_pieces(const graph::Model& model) {
  std::set<std::string> pieces;
  for (const auto& module : model.modules) {
    const std::string& path = module.path;
    for (size_t at = 0; at != std::string::npos;) {
      pieces.insert(path.substr(at));
      pieces.insert(path.substr(at, path.find('.', at) - at));
      const size_t dot = path.find('.', at);
      at = dot == std::string::npos ? dot : dot + 1;
    }
  }
  return {pieces.begin(), pieces.end()};
}

// The pattern without regular-expression syntax, to compare it with names.
std::string plain_text(const std::string& pattern) {
  std::string out;
  for (const char c : pattern)
    if (std::string_view("\\^$*+?()[]|").find(c) == std::string_view::npos) out += c;
  while (!out.empty() && out.front() == '.') out.erase(out.begin());
  while (!out.empty() && out.back() == '.') out.pop_back();
  return out;
}

bool names_gguf_tensors(const std::string& pattern) {
  static constexpr std::array parts{"blk", "exps", "ffn_", "attn_", "token_embd", "shexp"};
  return std::ranges::any_of(
      parts, [&](const char* part) { return pattern.find(part) != std::string::npos; });
}

template <class Holds>
bool any_used(const graph::Model& model, Holds holds) {
  return std::any_of(model.modules.begin(), model.modules.end(),
                     [&](const auto& m) { return m.unused.empty() && holds(m); });
}

std::string used_classes(const graph::Model& model) {
  std::vector<std::string> names;
  for (const auto& row : graph::classes()) {
    if (any_used(model, [&](const graph::Module& m) { return m.has_class(row.name); }))
      names.emplace_back(row.name);
  }
  return base::join(names);
}

// Whether a pattern that matches nothing names modules of other models that this one does not have.
bool names_lacking(const NamePattern& pattern, const graph::Model& model) {
  constexpr int layers = 128;  // more than published models have, for patterns of late layers
  std::set<std::string_view> here;
  for (const auto& module : model.modules) here.insert(module.path);
  std::set<size_t> named, had;  // kinds of modules, by their index
  for (int layer = -1; layer < layers; ++layer) {
    const auto paths = model::module_paths(layer);
    const size_t first = layer < 0 ? 0 : model::module_paths(-1).size();
    for (size_t i = 0; i < paths.size(); ++i) {
      if (pattern.regex->search(paths[i])) named.insert(first + i);
      if (here.contains(paths[i])) had.insert(first + i);
    }
  }
  return !named.empty() &&
         std::ranges::none_of(named, [&](size_t kind) { return had.contains(kind); });
}

// The reasons why nothing matches, key by key.
std::vector<std::string> no_match_notes(const Match& match, const graph::Model& model) {
  std::vector<std::string> notes;
  if (!any_used(model, [&](const auto& m) { return matches_class(match, m); }))
    notes.push_back("no module has class " + match.class_name->value +
                    "; classes of this model: " + used_classes(model));
  if (!any_used(model, [&](const auto& m) { return matches_name(match, m); })) {
    notes.push_back("no module's path matches '" + match.name->value.text + "'");
    if (names_gguf_tensors(match.name->value.text))
      notes.emplace_back("it names tensors of GGUF files; `ktx-plan import --ot` translates these");
    const auto near = base::nearest(plain_text(match.name->value.text), path_pieces(model));
    if (!near.empty()) notes.push_back("did you mean '" + base::join(near, "' or '") + "'?");
  }
  if (!any_used(model, [&](const auto& m) { return matches_layers(match, m); }))
    notes.push_back("no module is in layers " +
                    base::shortened(to_string(match.layers->value), 80) +
                    "; layers of this model: 0-" + std::to_string(model.info.layers - 1));
  if (notes.empty())
    notes.push_back("each key alone matches modules, but no module matches all of them");
  return notes;
}

[[noreturn]] void throw_matches_nothing(const Rule& rule, const graph::Model& model) {
  for (const auto& module : model.modules)
    if (!module.unused.empty() && matches(rule.match, module))
      throw_input("rule '" + rule.name + "' matches only modules that are not run",
                  rule.match.where, {module.path + ": " + module.unused, "leave the rule out"});
  throw_input("rule '" + rule.name + "' matches no module of this model", rule.match.where,
              no_match_notes(rule.match, model));
}

// The earlier rules that take all modules of a rule that never applies.
void check_shadowed(const Rules& rules, size_t index, const graph::Model& model,
                    const std::vector<int>& assigned) {
  std::vector<size_t> takes(rules.rules.size());
  size_t total = 0;
  for (size_t i = 0; i < model.modules.size(); ++i) {
    if (assigned[i] < 0 || !matches(rules.rules[index].match, model.modules[i])) continue;
    if (assigned[i] == static_cast<int>(index)) return;
    ++takes[static_cast<size_t>(assigned[i])];
    ++total;
  }
  const Rule& rule = rules.rules[index];
  if (total == 0 && !not_in_model(rule.match, model).empty()) return;
  if (total == 0) throw_matches_nothing(rule, model);
  std::vector<std::string> notes;
  for (size_t i = 0; i < takes.size(); ++i)
    if (takes[i] > 0)
      notes.push_back("rule '" + rules.rules[i].name + "' (" + file_and_line(rules.rules[i].where) +
                      ") takes " + count_of(takes[i], "module"));
  notes.emplace_back("put it before them, or leave it out");
  throw_input("rule '" + rule.name + "' never applies: earlier rules take all " +
                  count_of(total, "module") + " that it matches",
              rule.match.where, std::move(notes));
}

}  // namespace

bool matches(const Match& match, const graph::Module& module) {
  for (const auto& keyword : match_keywords())
    if (!keyword.apply(match, module)) return false;
  return true;
}

std::vector<std::string> mismatch(const Match& match, const graph::Module& module) {
  std::vector<std::string> reasons;
  if (!matches_name(match, module))
    reasons.push_back("its path does not match '" + match.name->value.text + "'");
  if (!matches_class(match, module))
    reasons.push_back("its classes are " + base::join(module.classes) + ", not " +
                      match.class_name->value);
  if (!matches_layers(match, module))
    reasons.push_back((module.layer < 0 ? "it is outside the layers, not in "
                                        : "layer " + std::to_string(module.layer) + " is not in ") +
                      base::shortened(to_string(match.layers->value), 80));
  return reasons;
}

std::string not_in_model(const Match& match, const graph::Model& model) {
  const auto any = [&](auto holds) {  // including modules that are not run
    return std::ranges::any_of(model.modules, [&](const auto& m) { return holds(match, m); });
  };
  const bool has_class = any(matches_class), has_name = any(matches_name);
  if (!has_name && !names_lacking(match.name->value, model)) return {};
  if (!has_class) return "no module of this model has class " + match.class_name->value;
  return has_name ? "" : "no module of this model is named '" + match.name->value.text + "'";
}

std::vector<int> assign_rules(const Rules& rules, const graph::Model& model) {
  std::vector<int> assigned(model.modules.size(), -1);
  std::vector<size_t> unmatched;
  std::vector<char> applies(rules.rules.size());
  for (size_t i = 0; i < model.modules.size(); ++i) {
    if (!model.modules[i].unused.empty()) continue;
    for (size_t r = 0; r < rules.rules.size() && assigned[i] < 0; ++r)
      if (matches(rules.rules[r].match, model.modules[i])) assigned[i] = static_cast<int>(r);
    if (assigned[i] < 0)
      unmatched.push_back(i);
    else
      applies[static_cast<size_t>(assigned[i])] = 1;
  }
  // A rule with a mistake often leaves modules unmatched too: its own message says more.
  for (size_t r = 0; r < rules.rules.size(); ++r)
    if (!applies[r]) check_shadowed(rules, r, model, assigned);
  if (!unmatched.empty()) {
    const auto& module = model.modules[unmatched.front()];
    const std::string more =
        unmatched.size() == 1 ? "" : " and " + count_of(unmatched.size() - 1, "more module");
    const std::string class_text =
        module.classes.empty() ? "" : " (class " + module.classes.front() + ")";
    throw_input("no rule matches " + module.path + class_text + more, rules.rules.back().where,
                {"add a last rule for all that is left: "
                 "{name: rest, match: {name: '.*'}, place: {device: cpu}}"});
  }
  return assigned;
}

}  // namespace ktx::placement
