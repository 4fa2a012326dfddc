// Which rule of KTransformers decides a module.
#include "placement/import/ktransformers_modules.hpp"

#include "../sample.hpp"
#include "catch.hpp"

using namespace ktx;
using namespace ktx::placement;

namespace {

struct Case {
  graph::Model model = sample::deepseek();
  std::vector<InjectionRule> rules;
  InjectedModel injected;

  explicit Case(const std::string& text)
      : rules(parse_injection_rules(base::parse_yaml(text, "kt.yaml"))), injected(model, rules) {}

  int of(const std::string& path) const {
    for (size_t i = 0; i < model.modules.size(); ++i)
      if (model.modules[i].path == path) return injected.deciding()[i];
    return -2;
  }
};

}  // namespace

TEST_CASE("the first rule whose class and name match decides") {
  const Case c(R"yaml(
- {match: {class: torch.nn.Linear, name: "^model\\.layers\\.(?!.*kv_b_proj)"}, replace: {class: a.B}}
- {
    match : {class : m.MoEGate}, replace : {class: a.B}}
- {
        match : {name : "self_attn$"}, replace : {class: a.B}}
- {
            match : {class : m.DeepseekV3RMSNorm, name : "layers"}, replace : {class: a.B}}
- {match: {name: "^model\\.layers\\.2\\."}, replace: {class: default}}
)yaml");
  CHECK(c.of("model.layers.1.self_attn.q_a_proj") == 0);
  CHECK(c.of("model.layers.0.mlp.up_proj") == 0);
  CHECK(c.of("model.layers.1.mlp.gate") == 1);
  CHECK(c.of("model.layers.1.self_attn.kv_b_proj") == 2);  // it computes attention
  CHECK(c.of("model.layers.1.input_layernorm") == 3);
  CHECK(c.of("model.layers.2.mlp.experts") == 4);
  CHECK(c.of("model.layers.1.mlp.experts") == -1);
  CHECK(c.of("lm_head") == -1);
  CHECK(c.of("model.norm") == -1);
}

TEST_CASE("below a rule that is not recursive none is looked for") {
  const Case c(R"yaml(
- {match: {name: "layers\\.1\\.mlp$"}, replace: {class: a.B}, recursive: False}
- {match: {class: torch.nn.Linear}, replace: {class: a.B}}
- {match: {name: "^model$"}, replace: {class: a.B}}
)yaml");
  CHECK(c.of("model.layers.1.mlp.experts") == 0);
  CHECK(c.of("model.layers.1.mlp.shared_experts.up_proj") == 0);
  CHECK(c.of("model.layers.2.mlp.shared_experts.up_proj") == 1);
  CHECK(c.of("model.layers.2.mlp.experts") == -1);
}

TEST_CASE("what a rule matches besides modules") {
  const Case c(R"yaml(
- {match: {name: "^model$"}, replace: {class: a.B}}
- {match: {class: m.DeepseekV3MoE}, replace: {class: a.B}}
- {match: {class: m.DeepseekV3MLP}, replace: {class: a.B}}
- {match: {name: "embed"}, replace: {class: a.B}}
- {match: {name: "nothing"}, replace: {class: a.B}}
)yaml");
  for (const size_t block : {0, 1, 2}) {
    CHECK(c.injected.matches_block(c.rules[block]));
    CHECK_FALSE(c.injected.matches_module(c.rules[block]));
  }
  CHECK(c.injected.matches_module(c.rules[3]));
  CHECK_FALSE(c.injected.matches_block(c.rules[4]));
}

TEST_CASE("Mixtral's blocks have their own name, routers of other models are Linear") {
  auto model = sample::deepseek();
  model.info.architecture = "mixtral";
  const auto rules = parse_injection_rules(base::parse_yaml(
      "- {match: {name: 'block_sparse_moe.experts$'}, replace: {class: a.B}}\n"
      "- {match: {class: torch.nn.Linear, name: 'block_sparse_moe.gate$'}, replace: "
      "{class: a.B}}\n",
      "kt.yaml"));
  const InjectedModel injected(model, rules);
  for (size_t i = 0; i < model.modules.size(); ++i) {
    const auto& path = model.modules[i].path;
    if (path.ends_with("mlp.experts")) CHECK(injected.deciding()[i] == 0);
    if (path.ends_with("mlp.gate")) CHECK(injected.deciding()[i] == 1);
  }
}
