// Each of KTransformers' rules becomes one rule for the modules that it decides, in the same order.
// Its pattern is kept where, at its place in the order, it takes these modules and no others;
// otherwise they are described anew.
#include "placement/import/ktransformers.hpp"

#include <filesystem>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "core/base/text.hpp"
#include "placement/import/ktransformers_modules.hpp"
#include "placement/import/ktransformers_place.hpp"
#include "placement/import/rules_text.hpp"
#include "placement/import/selection.hpp"

namespace ktx::placement {

namespace {

std::string_view ktx_class(PythonKind kind) {
  switch (kind) {
    case PythonKind::linear:
      return "linear";
    case PythonKind::norm:
      return "norm";
    case PythonKind::embedding:
      return "embedding";
    case PythonKind::router:
      return "moe.router";
    case PythonKind::attention:
      return "attention";
    default:
      return "";
  }
}

// The rule's own class and pattern, in ktx's words; nothing when there is no such class.
std::optional<Match> carried_over(const InjectionRule& rule) {
  Match match;
  if (rule.class_name) {
    const auto kind = python_kind(rule.class_name->value);
    const auto name = ktx_class(kind);
    if (name.empty() && kind != PythonKind::any && !rule.name) return std::nullopt;
    if (!name.empty()) match.class_name = {std::string(name), {}};
  }
  if (rule.name) {
    std::string pattern = rule.name->value.regex->pattern();
    for (size_t at; (at = pattern.find("block_sparse_moe")) != std::string::npos;)
      pattern.replace(at, 16, "mlp");
    auto regex = std::make_shared<const text::Regex>(pattern);
    match.name = {{std::move(pattern), std::move(regex)}, {}};
  }
  return match;
}

class Importer {
 public:
  Importer(const base::Yaml& file, const ImportTarget& target)
      : target_(target),
        rules_(parse_injection_rules(file)),
        injected_(target.model, rules_),
        open_(run_modules(target.model)),
        text_(head(file)) {}

  std::string run() {
    for (size_t r = 0; r < rules_.size(); ++r) translate(r);
    if (!is_empty(open_)) {
      text_.section("What no rule matches, KTransformers leaves on its default device.");
      Match all;
      all.name = {{".*", std::make_shared<const text::Regex>(".*")}, {}};
      text_.rule("rest", all, {.devices = {"cuda:0"}});
    }
    return text_.text();
  }

 private:
  std::string head(const base::Yaml& file) const {
    const auto line = file_and_line(file.where);
    const auto name = std::filesystem::path(line.substr(0, line.rfind(':'))).filename().string();
    return "Rules of KTransformers, " + name +
           ", translated by ktx-plan import. For the modules of " + target_.name +
           " they mean the same; for another model give --model.\nWhat has no equal in ktx stands "
           "in a comment, with its line there.";
  }

  void translate(size_t number) {
    const auto& rule = rules_[number];
    ModuleSet decided(open_.size());
    for (size_t i = 0; i < decided.size(); ++i)
      decided[i] = injected_.deciding()[i] == static_cast<int>(number);
    const auto line = "line " + std::to_string(rule.line);
    text_.section(line + ": " + title(rule));
    if (is_empty(decided)) text_.comment("no equal: " + why_nothing(rule));
    const auto places = places_of(rule, target_.model, decided);
    for (const auto* remarks : {&rule.remarks, &places.remarks})
      for (const auto& remark : *remarks)
        text_.comment("line " + std::to_string(remark.line) + ", " + remark.text);
    for (const auto& part : places.parts) {
      const auto kept = carried_over(rule);
      const bool carries = kept && taken(*kept, target_.model, open_) == part.modules;
      if (!carries && rule.name)
        text_.comment("Here its pattern would take other modules; it decides these:");
      write(line, part, carries ? std::vector{*kept} : select(target_.model, part.modules, open_));
    }
  }

  // One rule a match; names are there once.
  void write(const std::string& line, const PlacedPart& part, const std::vector<Match>& matches) {
    for (const auto& match : matches) {
      const auto modules = taken(match, target_.model, part.modules);
      std::string name = common_class(target_.model, modules) + " of " + line;
      const int before = names_[name]++;
      if (before > 0) name += ", " + std::to_string(before + 1);
      text_.rule(name, match, part.place, part.prefill);
    }
    for (size_t i = 0; i < open_.size(); ++i) open_[i] = open_[i] && !part.modules[i];
  }

  static std::string title(const InjectionRule& rule) {
    const auto replacement = last_component(rule.replacement);
    const auto from = rule.class_name ? last_component(rule.class_name->value)
                                      : "'" + rule.name->value.text + "'";
    return replacement == "default" ? from : from + " as " + replacement;
  }

  std::string why_nothing(const InjectionRule& rule) const {
    const auto kind = rule.class_name ? python_kind(rule.class_name->value) : PythonKind::any;
    if (kind == PythonKind::rotary) return "rotary tables lie where attention runs";
    if (kind == PythonKind::unknown) return "ktx knows no such class as " + rule.class_name->value;
    if (injected_.matches_module(rule)) return "earlier rules take all modules that it matches";
    if (injected_.matches_block(rule))
      return "a block of modules; those inside are placed by rules of their own";
    return "no module of " + target_.name + " matches";
  }

  const ImportTarget& target_;
  std::vector<InjectionRule> rules_;
  InjectedModel injected_;
  ModuleSet open_;  // that no rule has taken yet
  RulesText text_;
  std::map<std::string, int> names_;  // how often each was given
};

}  // namespace

std::string import_ktransformers(const base::Yaml& file, const ImportTarget& target) {
  return Importer(file, target).run();
}

}  // namespace ktx::placement
