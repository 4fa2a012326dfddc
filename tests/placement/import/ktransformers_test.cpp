// KTransformers' rules as ktx rules: every module gets the device that it has there.
#include "placement/import/ktransformers.hpp"

#include "../sample.hpp"
#include "catch.hpp"
#include "placement/import/ktransformers_modules.hpp"
#include "placement/planner.hpp"

using namespace ktx;
using namespace ktx::placement;

namespace {

const char* const rotary_and_linear = R"(
- match: {class: m.DeepseekV3RotaryEmbedding}
  replace: {class: a.Rope, kwargs: {generate_device: "cuda"}}
- match:
    name: "^model\\.layers\\.(?!.*self_attn\\.kv_b_proj).*$"
    class: torch.nn.Linear
  replace:
    class: a.KTransformersLinear
    kwargs: {generate_device: "cuda:1", prefill_device: "cuda:1", generate_op: "KLinearMarlin"}
)";

std::string imported(const std::string& text, const graph::Model& model) {
  return import_ktransformers(base::parse_yaml(text, "dir/kt.yaml"),
                              {model, "sample", model::Naming::hugging_face});
}
std::string imported(const std::string& text) {
  return imported(text, sample::deepseek());
}

Plan plan_of(const std::string& rules) {
  return make_plan(sample::rules(rules), sample::deepseek(), sample::machine_with_gpus(2), {});
}

// The devices of the plan are those that the arguments of the deciding rules name.
void check_devices(const std::string& text) {
  const auto model = sample::deepseek();
  const auto rules = parse_injection_rules(base::parse_yaml(text, "kt.yaml"));
  const InjectedModel injected(model, rules);
  const auto written = imported(text);
  INFO(written);
  const auto plan = plan_of(written);
  for (const auto& planned : plan.modules) {
    const auto number = static_cast<size_t>(planned.module);
    INFO(model.modules[number].path);
    std::string device = "cuda:0";
    if (const int rule = injected.deciding()[number]; rule >= 0)
      for (const auto& [key, value] : rules[static_cast<size_t>(rule)].kwargs)
        if (key.scalar == "generate_device") device = parse_kt_device(value).name;
    CHECK(planned.device == device);
  }
}

}  // namespace

TEST_CASE("a pattern is kept where it takes the same modules") {
  const auto text = imported(rotary_and_linear);
  CHECK(
      text ==
      R"(# Rules of KTransformers, kt.yaml, translated by ktx-plan import. For the modules of sample they
#   mean the same; for another model give --model.
# What has no equal in ktx stands in a comment, with its line there.
ktx: 1
rules:
  # line 2: DeepseekV3RotaryEmbedding as Rope
  # no equal: rotary tables lie where attention runs

  # line 4: Linear as KTransformersLinear
  # line 9, generate_op: 'KLinearMarlin': as format: int4/64; without it: as in the checkpoint
  - name: linear of line 4
    match: {class: linear, name: '^model\.layers\.(?!.*self_attn\.kv_b_proj).*$'}
    place: {device: 'cuda:1', format: int4/64}

  # What no rule matches, KTransformers leaves on its default device.
  - name: rest
    match: {name: '.*'}
    place: {device: 'cuda:0'}
)");
  check_devices(rotary_and_linear);
}

TEST_CASE("otherwise the modules are described") {
  const std::string text = R"(
- match: {name: "self_attn$"}
  replace: {class: a.Attention, kwargs: {generate_device: "cuda:1", prefill_device: "cuda:1"}}
- match: {name: "^model\\.layers\\.[12]\\.mlp$"}
  replace: {class: a.Mlp, kwargs: {generate_device: "cpu", prefill_device: "cpu"}}
  recursive: False
- match: {name: "^model\\.layers\\."}
  replace: {class: default, kwargs: {generate_device: "cuda", prefill_device: "cuda"}}
)";
  const auto written = imported(text);
  CHECK(written.find("match: {name: '\\.self_attn\\.kv_b_proj$'}") != std::string::npos);
  CHECK(written.find("layers: 1-2}") != std::string::npos);
  CHECK(written.find("match: {name: '^model\\.layers\\.'}") != std::string::npos);
  check_devices(text);
}

TEST_CASE("rules that decide nothing are comments that say why") {
  const auto has = [](const std::string& rule, const std::string& why) {
    const auto text = imported(rule + "\n- {match: {name: '.*'}, replace: {class: default}}\n");
    INFO(text);
    CHECK(text.find("no equal: " + why + "\n") != std::string::npos);
    CHECK(sample::rules(text).rules.size() == 1);
  };
  has("- {match: {class: m.DeepseekV3MoE}, replace: {class: a.B}}",
      "a block of modules; those inside are placed by rules of their own");
  has("- {match: {class: m.Conv}, replace: {class: a.B}}", "ktx knows no such class as m.Conv");
  has("- {match: {name: vision}, replace: {class: a.B}}", "no module of sample matches");
  const auto text = imported(R"(
- {match: {name: '.*'}, replace: {class: default}}
- {match: {name: lm_head}, replace: {class: a.B}}
)");
  CHECK(text.find("no equal: earlier rules take all modules that it matches\n") !=
        std::string::npos);
}

TEST_CASE("names in rules are there once") {
  const auto text = imported(R"(
- match: {name: "q_a_proj|layers\\.1.*gate$|mlp$"}
  replace: {class: default, kwargs: {generate_device: cpu, prefill_device: cuda}}
  recursive: False
)");
  INFO(text);
  CHECK(plan_of(text).rules.size() >= 3);
}

TEST_CASE("Mixtral's block is named as in ktx") {
  auto model = sample::deepseek();
  model.info.architecture = "mixtral";
  const auto text = imported(
      "- {match: {name: '\\.block_sparse_moe\\.experts$'}, replace: {class: default, "
      "kwargs: {generate_device: cpu, prefill_device: cpu}}}\n",
      model);
  CHECK(text.find("match: {name: '\\.mlp\\.experts$'}") != std::string::npos);
}
