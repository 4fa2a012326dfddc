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

TEST_CASE(
    "a device needs its weights and, one after the other, loading buffers and running memory") {
  DeviceMemory memory{.device = "cuda:1", .weights = 1000, .cache = 40, .activations = 30};
  memory.scratch = 10;
  memory.rope_tables = 5;
  memory.streaming = 15;
  memory.driver = 7;
  memory.loading = 99;
  CHECK(memory.most() == 1107);
  memory.loading = 101;
  CHECK(memory.most() == 1108);
}

TEST_CASE("a plan finds a device's memory and sums its caches") {
  Plan plan;
  plan.devices = {{.device = "cpu", .cache = 3}, {.device = "cuda:0", .cache = 4}};
  CHECK(plan.cache_bytes() == 7);
  CHECK(plan.find_device("cuda:0") == &plan.devices[1]);
  CHECK(plan.find_device("cuda:1") == nullptr);
}
