// Small questions to a plan.
#include "placement/plan.hpp"

#include "catch.hpp"

using namespace ktx::placement;

TEST_CASE("NUMA policies print as rules write them, or as what no rule asks for") {
  CHECK(to_string(NumaPolicy{NumaKind::replicate}) == "replicate");
  CHECK(to_string(NumaPolicy{NumaKind::shard}) == "shard");
  CHECK(to_string(NumaPolicy{NumaKind::interleave}) == "interleave");
  CHECK(to_string(NumaPolicy{}) == "interleave");
  CHECK(to_string(NumaPolicy{NumaKind::node, 3}) == "node:3");
}

TEST_CASE("a plan finds a module's place and sums its bytes") {
  Plan plan;
  plan.modules.resize(2);
  plan.modules[0].module = 4;
  plan.modules[0].bytes = 100;
  plan.modules[1].module = 7;
  plan.modules[1].bytes = 23;
  CHECK(plan.find(7) == &plan.modules[1]);
  CHECK(plan.find(5) == nullptr);
  CHECK(plan.weight_bytes() == 123);
}

TEST_CASE("a plan needs its weights and, one after the other, loading buffers and running memory") {
  Plan plan;
  plan.modules.resize(1);
  plan.modules[0].bytes = 1000;
  plan.cache_bytes = 40;
  plan.activation_bytes = 30;
  plan.run_memory = {.scratch = 20, .rope_tables = 10, .loading = 99};
  CHECK(plan.memory_bytes() == 1100);
  plan.run_memory.loading = 101;
  CHECK(plan.memory_bytes() == 1101);
}
