// Arguments of KTransformers' rules.
#include "placement/import/ktransformers_place.hpp"

#include "../sample.hpp"
#include "catch.hpp"

using namespace ktx;
using namespace ktx::placement;

namespace {

InjectedPlaces places(const std::string& kwargs, const char* modules) {
  const auto rules = parse_injection_rules(base::parse_yaml(
      "- match: {name: a}\n  replace:\n    class: a.B\n    kwargs: {" + kwargs + "}\n", "kt.yaml"));
  const auto model = sample::deepseek();
  Match match;
  match.name = {{modules, std::make_shared<const text::Regex>(modules)}, {}};
  return places_of(rules[0], model, taken(match, model, run_modules(model)));
}

}  // namespace

TEST_CASE("one device for both phases, and a format") {
  const auto at = places(
      "generate_device: 'cuda:1', prefill_device: 'cuda:1', "
      "generate_op: KLinearMarlin, prefill_op: KLinearTorch",
      "up_proj");
  REQUIRE(at.parts.size() == 1);
  CHECK(at.parts[0].place == WrittenPlace{.devices = {"cuda:1"}, .format = "int4/64"});
  CHECK(at.parts[0].prefill == WrittenPlace{});
  REQUIRE(at.remarks.size() == 2);
  CHECK(at.remarks[1].line == 4);
}

TEST_CASE("without arguments a module is on the default device") {
  CHECK(places("", "up_proj").parts.at(0).place == WrittenPlace{.devices = {"cuda:0"}});
  CHECK(places("prefill_device: cuda, generate_device: cuda", "norm").parts.size() == 1);
}

TEST_CASE("a format is given where there are matrices") {
  CHECK(places("generate_op: KLinearMarlin", "norm").parts.at(0).place.format.empty());
}

TEST_CASE("experts pass through the GPU for prompts") {
  const auto at =
      places("generate_device: cpu, prefill_device: cuda, backend: AMXInt8", "experts$");
  REQUIRE(at.parts.size() == 1);
  CHECK(at.parts[0].place == WrittenPlace{.devices = {"cpu"}, .format = "int8"});
  CHECK(at.parts[0].prefill == WrittenPlace{.devices = {"cuda:0"}, .stream = true});
}

TEST_CASE("experts on the CPU are deferred, and they alone") {
  const auto at =
      places("generate_device: cpu, prefill_device: cuda, n_deferred_experts: 3", "experts$");
  REQUIRE(at.parts.size() == 1);
  CHECK(at.parts[0].place.text() == "{device: cpu, defer: 3}");
  CHECK(at.parts[0].prefill == WrittenPlace{.devices = {"cuda:0"}, .stream = true});
  CHECK(at.remarks.empty());
  const auto all =
      places("generate_device: cpu, prefill_device: cpu, n_deferred_experts: 3", R"(layers\.1\.)");
  REQUIRE(all.parts.size() == 2);
  CHECK(all.parts[0].place.defer == 3);
  CHECK(all.parts[1].place == WrittenPlace{.devices = {"cpu"}});
  const auto gpu = places("n_deferred_experts: 3", "experts$");
  CHECK(gpu.parts.at(0).place == WrittenPlace{.devices = {"cuda:0"}});
  CHECK(gpu.remarks.at(0).text.ends_with("experts on a GPU are not deferred"));
}

TEST_CASE("in two phases attention stays where its cache lies, others are there twice") {
  const auto at = places("generate_device: cpu, prefill_device: cuda", R"(layers\.1\.)");
  REQUIRE(at.parts.size() == 3);
  CHECK(at.parts[0].prefill.stream);
  CHECK(at.parts[1].prefill == WrittenPlace{});
  CHECK(at.parts[2].prefill == WrittenPlace{.devices = {"cuda:0"}});
  REQUIRE(at.remarks.size() == 1);
  CHECK(at.remarks[0].text.ends_with("attention runs where its KV cache lies"));
}

TEST_CASE("every argument without an equal has a remark with its line") {
  const auto at =
      places("out_device: cuda, generate_op: KExpertsNew, unheard: [1], generate_device: 'xpu:0'",
             "experts$");
  REQUIRE(at.remarks.size() == 4);
  CHECK(at.remarks[0].text ==
        "out_device: cuda: no equal: results are copied to where they are read");
  CHECK(at.remarks[1].text ==
        "generate_op: KExpertsNew: no equal: ktx chooses among its own kernels");
  CHECK(at.remarks[2].text == "unheard: [1]: no equal: ktx does not know this argument");
  CHECK(at.parts[0].place.devices.front() == "cuda:0");
}
