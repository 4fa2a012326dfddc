// CPUs in the order of use, and a thread pinned for a while.
#include "core/hw/affinity.hpp"

#include "catch.hpp"

using namespace ktx::hw;

TEST_CASE("threads take the nodes in turn and first hardware threads first") {
  Machine machine;
  machine.nodes = {{.id = 0, .memory_bytes = 1, .cpus = {0, 2, 8, 10}, .cores = 2},
                   {.id = 1, .memory_bytes = 1, .cpus = {1, 9}, .cores = 1}};
  CHECK(spread_cpus(machine) == std::vector<int>{0, 1, 2, 9, 8, 10});
}

TEST_CASE("a pinned thread runs on its CPU and is free again afterwards") {
  cpu_set_t before, after;
  REQUIRE(::sched_getaffinity(0, sizeof before, &before) == 0);
  const int cpu = spread_cpus(detect_machine()).back();
  {
    const PinnedThread pinned(cpu);
    CHECK(::sched_getcpu() == cpu);
  }
  REQUIRE(::sched_getaffinity(0, sizeof after, &after) == 0);
  CHECK(CPU_EQUAL(&before, &after));
}

TEST_CASE("a CPU that does not exist changes nothing") {
  cpu_set_t before, after;
  REQUIRE(::sched_getaffinity(0, sizeof before, &before) == 0);
  for (const int cpu : {-1, CPU_SETSIZE - 1, CPU_SETSIZE, 1 << 30}) {
    const PinnedThread pinned(cpu);
    REQUIRE(::sched_getaffinity(0, sizeof after, &after) == 0);
    CHECK(CPU_EQUAL(&before, &after));
  }
}
