// First match wins; rules that never apply are errors.
#include "placement/match.hpp"

#include "catch.hpp"
#include "sample.hpp"

using namespace ktx;
using namespace ktx::placement;
using sample::error_of;

namespace {

std::string error_with(const std::string& lines) {
  const auto model = sample::deepseek();
  return error_of([&] { assign_rules(sample::rule_list(lines), model); });
}

constexpr const char* rest = "  - {name: rest, match: {name: '.*'}, place: {}}\n";

}  // namespace

TEST_CASE("the first rule that matches a module decides") {
  const auto model = sample::deepseek();
  const auto assigned = assign_rules(
      sample::rule_list(
          "  - {name: late experts, match: {class: moe.experts, layers: 2-3}, place: {}}\n"
          "  - {name: moe, match: {class: moe}, place: {}}\n"
          "  - {name: q, match: {name: 'q_[ab]_proj$'}, place: {}}\n"
          "  - {name: rest, match: {name: '.*'}, place: {}}\n"),
      model);
  REQUIRE(assigned.size() == model.modules.size());
  const auto rule_of = [&](const std::string& path) {
    for (size_t i = 0; i < assigned.size(); ++i)
      if (model.modules[i].path == path) return assigned[i];
    return -2;
  };
  CHECK(rule_of("model.layers.3.mlp.experts") == 0);
  CHECK(rule_of("model.layers.1.mlp.experts") == 1);
  CHECK(rule_of("model.layers.2.mlp.gate") == 1);
  CHECK(rule_of("model.layers.2.mlp.shared_experts.up_proj") == 1);
  CHECK(rule_of("model.layers.0.self_attn.q_a_proj") == 2);
  CHECK(rule_of("model.layers.0.mlp.up_proj") == 3);
  CHECK(rule_of("lm_head") == 3);
  CHECK(rule_of("model.layers.4") == -1);  // multi-token prediction: not run
}

TEST_CASE("a module without a rule") {
  CHECK(error_with("  - {name: a, match: {name: 'layers|norm|embed'}, place: {}}\n") ==
        "r.yaml:3:5: no rule matches lm_head (class head)\n  note: add a last rule for all that is "
        "left: {name: rest, match: {name: '.*'}, place: {device: cpu}}");
  CHECK(error_with("  - {name: a, match: {name: 'layers'}, place: {}}\n")
            .rfind("r.yaml:3:5: no rule matches model.embed_tokens (class embedding) and 2 more "
                   "modules\n",
                   0) == 0);
}

TEST_CASE("a rule that matches nothing") {
  CHECK(error_with("  - {name: a, match: {name: 'self_atn'}, place: {}}\n" + std::string(rest)) ==
        "r.yaml:3:22: rule 'a' matches no module of this model\n"
        "  note: no module's path matches 'self_atn'\n"
        "  note: did you mean 'self_attn'?");
  CHECK(error_with("  - {name: a, match: {layers: 7-9}, place: {}}\n" + std::string(rest)) ==
        "r.yaml:3:22: rule 'a' matches no module of this model\n"
        "  note: no module is in layers 7-9; layers of this model: 0-3");
  CHECK(error_with("  - {name: a, match: {class: moe, layers: 0}, place: {}}\n" +
                   std::string(rest)) ==
        "r.yaml:3:22: rule 'a' matches no module of this model\n"
        "  note: each key alone matches modules, but no module matches all of them");
  CHECK(error_with("  - {name: a, match: {class: mtp}, place: {}}\n" + std::string(rest)) ==
        "r.yaml:3:22: rule 'a' matches only modules that are not run\n"
        "  note: model.layers.4: predicts further tokens, which ktx doesn't use\n"
        "  note: leave the rule out");
}

TEST_CASE("a rule for what other models have is no mistake") {
  const auto model = sample::deepseek();
  const auto why = [&](const std::string& match) {
    const auto rules =
        sample::rule_list("  - {name: a, match: {" + match + "}, place: {}}\n" + std::string(rest));
    const auto text = not_in_model(rules.rules[0].match, model);
    const auto error = error_of([&] { assign_rules(rules, model); });
    CHECK((text.empty() || error.empty()));
    return text;
  };
  CHECK(why("class: attention.gqa") == "no module of this model has class attention.gqa");
  CHECK(why("name: 'self_attn\\.k_proj$'") ==
        "no module of this model is named 'self_attn\\.k_proj$'");
  CHECK(why("name: '^model\\.layers\\.(6[0-9])\\.self_attn\\.k_norm', layers: 60-69") != "");
  CHECK(why("class: attention.gqa, name: 'k_norm'") != "");
  CHECK(why("class: attention.gqa, name: 'o_proj'") != "");
  // It has some, or no model has any.
  for (const char* match :
       {"class: moe", "name: 'mlp.*experts'", "class: attention.gqa, name: 'o_prj'",
        "name: 'self_attn.k_prj'", "name: 'layers\\.9\\.mlp'", "name: 'k_b_proj'", "layers: 9",
        "class: moe, layers: 0"})
    CHECK(why(match) == "");
}

TEST_CASE("a rule that earlier rules shadow") {
  CHECK(error_with("  - {name: gates, match: {class: moe.router}, place: {}}\n"
                   "  - {name: all, match: {name: '.*'}, place: {}}\n"
                   "  - {name: late, match: {class: moe, layers: 1}, place: {}}\n") ==
        "r.yaml:5:25: rule 'late' never applies: earlier rules take all 5 modules that it matches\n"
        "  note: rule 'gates' (r.yaml:3) takes 1 module\n"
        "  note: rule 'all' (r.yaml:4) takes 4 modules\n"
        "  note: put it before them, or leave it out");
}
