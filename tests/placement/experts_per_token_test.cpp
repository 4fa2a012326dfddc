// Experts a token: what each layer's tokens use, how wide routings are, and what no model can give.
#include <vector>

#include "catch.hpp"
#include "placement/planner.hpp"
#include "sample.hpp"

using namespace ktx;
using namespace ktx::placement;
using sample::error_of;

namespace {

const std::string all = "rules:\n  - {name: all, match: {name: '.*'}, place: {}}\n";

Plan plan_of(const std::string& value, const PlanOptions& options = {}) {
  const auto rules = sample::rules("ktx: 1\nmodel: {experts_per_token: " + value + "}\n" + all);
  return make_plan(rules, sample::deepseek(), sample::machine(), options);
}

// The columns that all routings, routers and moe nodes of the graph have.
int columns(const Plan& plan) {
  graph::validate(plan.model);
  int nodes = 0;
  for (const auto& node : plan.model.graph.nodes) {
    if (const auto* router = std::get_if<graph::RouterParams>(&node.params)) {
      CHECK(router->top_k == plan.max_experts_per_token);
      CHECK(plan.model.graph.values[static_cast<size_t>(node.output)].width == router->top_k);
      ++nodes;
    }
    if (const auto* moe = std::get_if<graph::MoeParams>(&node.params)) {
      CHECK(moe->top_k == plan.max_experts_per_token);
      ++nodes;
    }
  }
  CHECK(nodes == 6);
  return plan.max_experts_per_token;
}

std::string experts_error(const std::string& value, const sample::DeepSeek& shape = {}) {
  const auto rules = sample::rules("ktx: 1\nmodel: {experts_per_token: " + value +
                                   "}\nrules:\n  - {name: all, match: {name: '.*'}, place: {}}\n");
  return error_of([&] { make_plan(rules, sample::deepseek(shape), sample::machine(), {}); });
}

}  // namespace

TEST_CASE("each layer has its number, routings have columns for the most") {
  using Counts = std::vector<int>;
  const auto fewer = plan_of("{default: 4, layers: {2: 6}}");
  CHECK(fewer.experts_per_token == Counts{-1, 4, 6, 4});
  CHECK(columns(fewer) == 8);  // a request may ask for the checkpoint's number
  const auto more = plan_of("{layers: {2-3: 12}}");
  CHECK(more.experts_per_token == Counts{-1, 8, 12, 12});
  CHECK(columns(more) == 12);
  const auto by_option = plan_of("{default: 4, layers: {2: 6}}", {.experts_per_token = 2});
  CHECK(by_option.experts_per_token == Counts{-1, 2, 2, 2});
  CHECK(columns(by_option) == 8);
  CHECK(columns(plan_of("4", {.max_experts = 16})) == 16);
  CHECK(columns(plan_of("12", {.max_experts = 2})) == 12);
}

TEST_CASE("fewer experts are read, whatever a request may ask for") {
  const auto bytes = [](const PlanOptions& options) {
    return plan_of("8", options).bytes_per_token();
  };
  CHECK(bytes({.experts_per_token = 6}) < bytes({}));
  CHECK(bytes({.max_experts = 16}) == bytes({}));
}

TEST_CASE("the plan tells who gave the numbers") {
  const auto texts = [](const Plan& plan) {
    std::vector<std::string> out;
    for (const auto& [name, value, from] : plan.settings)
      if (name.find("experts") != std::string::npos) out.push_back(name + " " + value + " " + from);
    return out;
  };
  using Texts = std::vector<std::string>;
  CHECK(texts(plan_of("{default: 4, layers: {2: 6}}")) ==
        Texts{"experts_per_token 4 r.yaml:2", "experts_per_token, layers 2 6 r.yaml:2"});
  CHECK(texts(plan_of("{layers: {1-2: 6}}", {.max_experts = 9})) ==
        Texts{"experts_per_token 8 checkpoint", "experts_per_token, layers 1-2 6 r.yaml:2",
              "max_experts 9 --max-experts"});
  CHECK(texts(plan_of("4", {.experts_per_token = 2})) ==
        Texts{"experts_per_token 2 --experts-per-token"});
}

TEST_CASE("experts a token that the model can't give") {
  CHECK(experts_error("16").empty());
  CHECK(experts_error("17") ==
        "r.yaml:2:28: experts_per_token: expected 1 to 16, found 17\n"
        "  note: layer 1 has 32 routed experts in 8 groups, of which a token uses 4");
  sample::DeepSeek wide;
  wide.experts = 2048;
  wide.groups = wide.top_groups = 1;
  CHECK(experts_error("1024", wide).empty());
  CHECK(experts_error("1025", wide).find("expected 1 to 1024, found 1025") != std::string::npos);
  CHECK(experts_error("{layers: {0: 4}}") ==
        "r.yaml:2:38: experts_per_token: no layer of 0 has routed experts\n"
        "  note: layers with routed experts: 1-3");
  sample::DeepSeek dense;
  dense.dense = dense.layers;
  dense.experts = 0;
  CHECK(experts_error("4", dense) ==
        "r.yaml:2:28: experts_per_token: the model (deepseek_v3) has no routed experts");
}

TEST_CASE("options for experts that the model can't give") {
  const auto error = [](const PlanOptions& options, const sample::DeepSeek& shape = {}) {
    return error_of([&] {
      make_plan(sample::rules("ktx: 1\n" + all), sample::deepseek(shape), sample::machine(),
                options);
    });
  };
  const std::string why =
      "\n  note: layer 1 has 32 routed experts in 8 groups, of which a token uses 4";
  CHECK(error({.experts_per_token = 4, .max_experts = 3}) ==
        "--max-experts: expected 4 or more, as --experts-per-token says, found 3");
  CHECK(error({.experts_per_token = 0}) == "experts_per_token: expected 1 to 16, found 0" + why);
  CHECK(error({.max_experts = 17}) == "max_experts: expected 1 to 16, found 17" + why);
  sample::DeepSeek dense;
  dense.dense = dense.layers;
  dense.experts = 0;
  CHECK(error({}, dense).empty());
  CHECK(error({.max_experts = 4}, dense) ==
        "experts_per_token: the model (deepseek_v3) has no routed experts");
}
