// Profiles of experts: what they say, and what is wrong with them.
#include "placement/expert_order.hpp"

#include "catch.hpp"
#include "sample.hpp"

using namespace ktx;
using namespace ktx::placement;
using sample::error_of;

namespace {

ExpertOrder parse(const std::string& text) {
  return parse_expert_order(base::parse_yaml(text, "p.yaml"));
}
std::string error_with(const std::string& text) {
  return error_of([&] { parse(text); });
}

}  // namespace

TEST_CASE("a profile lists experts of layers, most used first") {
  const auto order = parse("layers:\n  3: [5, 17, 2]\n  4-5: [8]\n");
  REQUIRE(order.size() == 3);
  CHECK(order.at(3) == std::vector<int>{5, 17, 2});
  CHECK(order.at(4) == std::vector<int>{8});
  CHECK(order.at(5) == std::vector<int>{8});
}

TEST_CASE("mistakes in a profile") {
  CHECK(error_with("layer: {3: [5]}")
            .rfind("p.yaml:1:1: unknown key 'layer' in a profile of experts", 0) == 0);
  CHECK(error_with("layers: {3: [5, 5]}") == "p.yaml:1:17: layers: expert 5 is listed twice");
  CHECK(error_with("layers: {3: [-1]}") ==
        "p.yaml:1:14: layers: expected the number of an expert, found -1");
  CHECK(error_with("layers: {3: []}") == "p.yaml:1:13: layers: expected at least one expert");
  CHECK(error_with("layers: {3: [1], 2-4: [1]}") == "p.yaml:1:18: layer 3 is given twice");
  CHECK(error_with("layers: {}") ==
        "p.yaml:1:1: a profile of experts gives some of each layer: layers: {3: [5, 17]}");
  CHECK(error_with("layers: {x: [1]}").find("expected a layer (7)") != std::string::npos);
}
