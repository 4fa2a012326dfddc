// Reading KTransformers' files, and what is wrong with others.
#include "placement/import/ktransformers_rules.hpp"

#include "../sample.hpp"
#include "catch.hpp"

using namespace ktx;
using namespace ktx::placement;

namespace {

std::vector<InjectionRule> parsed(const std::string& text) {
  return parse_injection_rules(base::parse_yaml(text, "kt.yaml"));
}
std::string error_in(const std::string& text) {
  return sample::error_of([&] { parsed(text); });
}

}  // namespace

TEST_CASE("a rule and its parts") {
  const auto rules = parsed(R"(
- match:
    name: "^model\\.layers\\.(0|1)\\.(?!self_attn).*$"
    class: torch.nn.Linear
  replace:
    class: ktransformers.operators.linear.KTransformersLinear
    device: "cpu"
    kwargs:
      generate_device: "cuda"
  recursive: False
- match: {class: x.Y}
  replace: {kwargs: }
)");
  REQUIRE(rules.size() == 2);
  CHECK(rules[0].line == 2);
  CHECK(rules[0].name->value.text == R"(^model\.layers\.(0|1)\.(?!self_attn).*$)");
  CHECK(rules[0].name->value.regex->search("model.layers.1.mlp"));
  CHECK_FALSE(rules[0].name->value.regex->search("model.layers.1.self_attn"));
  CHECK(rules[0].class_name->value == "torch.nn.Linear");
  CHECK(last_component(rules[0].replacement) == "KTransformersLinear");
  CHECK(rules[0].kwargs.size() == 1);
  CHECK_FALSE(rules[0].recursive);
  REQUIRE(rules[0].remarks.size() == 1);
  CHECK(rules[0].remarks[0].line == 7);
  CHECK(rules[0].remarks[0].text ==
        "device: 'cpu': no equal: ktx loads weights straight to where they run");
  CHECK(rules[1].replacement == "default");
  CHECK(rules[1].recursive);
  CHECK(rules[1].kwargs.empty());
}

TEST_CASE("what is no file of KTransformers") {
  const std::string example =
      "\n  note: a rule is {match: {name: PATTERN, class: CLASS}, replace: {class: CLASS, kwargs: "
      "{...}}}";
  CHECK(error_in("ktx: 1\n") ==
        "kt.yaml:1:1: expected rules of KTransformers, found a rules file of ktx\n"
        "  note: it needs no import: ktx-plan --rules FILE");
  CHECK(error_in("a: 1\n") ==
        "kt.yaml:1:1: expected a list of KTransformers' rules, found a map" + example);
  CHECK(error_in("- match: {name: a}\n") ==
        "kt.yaml:1:3: a rule of KTransformers has no replace" + example);
  CHECK(error_in("- replace: {class: a}\n") ==
        "kt.yaml:1:3: a rule of KTransformers has no match" + example);
  CHECK(error_in("- {match: {}, replace: {}}\n") ==
        "kt.yaml:1:11: match has neither name nor class" + example);
  CHECK(error_in("- {match: {name: '('}, replace: {}}\n")
            .starts_with("kt.yaml:1:18: regular expression '(' does not compile: "));
  CHECK(error_in("- {match: {name: a}, replace: {}, recursive: 3}\n") ==
        "kt.yaml:1:46: recursive: expected true or false, found '3'");
}

TEST_CASE("the line of a place") {
  CHECK(line_of("a:b.yaml:12:3") == 12);
  CHECK(line_of("file.yaml") == 0);
}
