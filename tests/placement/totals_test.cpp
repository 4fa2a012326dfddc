// Sums over plans.
#include "placement/totals.hpp"

#include "catch.hpp"
#include "placement/planner.hpp"
#include "sample.hpp"

using namespace ktx;
using namespace ktx::placement;

TEST_CASE("experts a token by layers") {
  const auto rules = sample::rules(
      "ktx: 1\nmodel: {experts_per_token: {default: 8, layers: {2: 6}}}\n"
      "rules:\n  - {name: all, match: {name: '.*'}, place: {}}\n");
  const auto plan = make_plan(rules, sample::deepseek(), sample::machine(hw::Isa::scalar, 2), {});
  const auto uses = experts_used(plan);
  REQUIRE(uses.size() == 2);
  CHECK(uses[0].per_token == 8);
  CHECK(uses[0].layers == std::vector<int>{1, 3});
  CHECK(uses[1].per_token == 6);
  CHECK(uses[1].layers == std::vector<int>{2});
  CHECK(plan.bytes_per_token() < plan.weight_bytes());
}

TEST_CASE("NUMA policies are for what runs on the CPU") {
  CHECK(has_numa({.device = "cpu", .prefill_device = "cuda:0"}));
  CHECK(has_numa({.device = "cuda:0", .prefill_device = "cpu"}));
  CHECK_FALSE(has_numa({.device = "cuda:0", .prefill_device = "cuda:1"}));
}

TEST_CASE("numbers fold to ranges") {
  CHECK(to_string(ranges_of({3, 4, 5, 9})) == "3-5,9");
  CHECK(to_string(ranges_of({})).empty());
}
