// Two plans side by side.
#include "placement/explain/diff.hpp"

#include "catch.hpp"
#include "placement/golden.hpp"

using namespace ktx;
using namespace ktx::placement;

TEST_CASE("what differs between two plans is the golden file's") {
  const auto other = sample::rules(R"(ktx: 1
context: 1000
rules:
  - name: experts
    match: {class: moe.experts}
    place: {format: int8}
    prefill: {device: 'cuda:0', stream: yes}
  - name: rest
    match: {name: '.*'}
    place: {device: 'cuda:0'}
)");
  const auto text = diff(sample::gpu_plan(), sample::gpu_plan(other));
  CHECK(text == sample::golden("diff.txt", text));
}

TEST_CASE("plans without a difference") {
  auto renamed = sample::gpu_rules();
  for (auto& rule : renamed.rules) rule.name += " of another file";
  const auto plan = sample::gpu_plan();
  CHECK(diff(plan, sample::gpu_plan(renamed)) ==
        "A  r.yaml\nB  r.yaml\n\nno difference: " + std::to_string(plan.modules.size()) +
            " modules, settings, memory and predictions are equal\n");
}

TEST_CASE("settings alone") {
  const auto rules = sample::gpu_rules();
  const auto longer =
      make_plan(rules, sample::deepseek(sample::gpu_shape()), sample::gpu_machine(),
                {.threads = 4, .cache_length = 8000, .run_memory = sample::run_memory});
  const auto text = diff(sample::gpu_plan(), longer);
  CHECK(text.find("\nno module is placed differently\n") != std::string::npos);
  CHECK(text.find("\n  context  4096  8000\n") != std::string::npos);
  CHECK(text.find("\n  cpu  ") != std::string::npos);
}

TEST_CASE("plans of different models") {
  CHECK(sample::error_of([] { diff(sample::plain_plan(6), sample::plain_plan(5)); }) ==
        "r.yaml: plans of different models can't be compared\n"
        "  note: r.yaml: sample, 86 modules\n  note: r.yaml: sample, 72 modules\n"
        "  note: only one of them has model.layers.5.input_layernorm\n"
        "  note: --model gives both the same");
}
