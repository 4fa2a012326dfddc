// Machines through hwloc: this one and synthetic ones.
#include "core/hw/machine.hpp"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <set>
#include <thread>

#include "catch.hpp"
#include "core/base/failure.hpp"
#include "core/hw/cgroup.hpp"

using namespace ktx;
using namespace ktx::hw;
using test::failure;

TEST_CASE("threads take the nodes in turn and first hardware threads first") {
  Machine machine;
  machine.nodes = {{.id = 0, .memory_bytes = 1, .cpus = {0, 2, 8, 10}, .cores = 2},
                   {.id = 1, .memory_bytes = 1, .cpus = {1, 9}, .cores = 1}};
  REQUIRE(spread_cpus(machine) == std::vector<int>{0, 1, 2, 9, 8, 10});
}

TEST_CASE("synthetic machines of 1, 2, 4 and 8 nodes") {
  for (const int nodes : {1, 2, 4, 8}) {
    const auto text = "node:" + std::to_string(nodes) + " core:4 pu:2";
    INFO(text);
    const auto machine = synthetic_machine(text, Isa::amx_int8);
    REQUIRE(machine.name == text);
    REQUIRE(machine.isa == Isa::amx_int8);
    REQUIRE(machine.nodes.size() == static_cast<size_t>(nodes));
    REQUIRE(machine.cpu_count() == nodes * 8);
    REQUIRE(machine.core_count() == nodes * 4);
    REQUIRE(machine.gpus.empty());
    REQUIRE(machine.read_bandwidth == 0);
    for (int n = 0; n < nodes; ++n) {
      const auto& node = machine.nodes[static_cast<size_t>(n)];
      const int first = n * 8;
      REQUIRE(node.id == n);
      REQUIRE(node.cores == 4);
      // The first hardware threads of each core first.
      REQUIRE(node.cpus == std::vector<int>{first, first + 2, first + 4, first + 6, first + 1,
                                            first + 3, first + 5, first + 7});
    }
  }
}

TEST_CASE("a synthetic machine's memory and caches") {
  const auto machine = synthetic_machine(
      "package:2 node:2(memory=64GB) l3:3(size=32MB) l2:4(size=1MB) core:1 pu:1", Isa::avx2);
  REQUIRE(machine.nodes.size() == 4);
  REQUIRE(machine.nodes[0].memory_bytes == 64'000'000'000);
  REQUIRE(machine.memory_bytes() == 256'000'000'000);
  REQUIRE(machine.l2_bytes == 1'000'000);
  REQUIRE(machine.l3_bytes == 2 * 3 * 32'000'000);  // of one package
  REQUIRE(machine.core_count() == 48);
}

TEST_CASE("a synthetic machine without caches or second threads") {
  const auto machine = synthetic_machine("node:2 core:4 pu:1", Isa::scalar);
  REQUIRE(machine.nodes[1].cpus == std::vector<int>{4, 5, 6, 7});
  REQUIRE(machine.l2_bytes == 0);
  REQUIRE(machine.l3_bytes == 0);
}

TEST_CASE("nodes that share their CPUs: each CPU is counted once") {
  // Two memories at the same CPUs, as with HBM beside DRAM.
  const auto machine = synthetic_machine("package:2 [numa] [numa] core:4 pu:1", Isa::scalar);
  REQUIRE(machine.cpu_count() == 8);
  REQUIRE(machine.nodes.size() == 2);
}

TEST_CASE("what hwloc does not understand is an input error") {
  for (const char* text : {"", "nonsense", "node:0", "node:2 core:-1", "node:2 core:"}) {
    INFO("'" << text << "'");
    CHECK(failure([&] { synthetic_machine(text, Isa::scalar); }) ==
          "input not a synthetic machine of hwloc: '" + std::string(text) +
              "'\n  note: for example: node:2 core:4 pu:2");
  }
}

TEST_CASE("this machine") {
  const auto machine = detect_machine();
  REQUIRE_FALSE(machine.name.empty());
  REQUIRE(machine.isa == usable_isa());
  REQUIRE_FALSE(machine.nodes.empty());
  const auto all = static_cast<uint64_t>(::sysconf(_SC_PHYS_PAGES)) *
                   static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  REQUIRE(machine.memory_bytes() > 0);
  const auto limit = cgroup_memory_limit().value_or(UINT64_MAX);
  REQUIRE(machine.memory_bytes() <= limit);
  if (machine.nodes.size() == 1) REQUIRE(machine.memory_bytes() >= std::min(all, limit) / 64);
  REQUIRE(machine.core_count() >= 1);
  REQUIRE(machine.core_count() <= machine.cpu_count());
  REQUIRE(machine.gpus.empty());

  cpu_set_t allowed;
  REQUIRE(::sched_getaffinity(0, sizeof allowed, &allowed) == 0);
  std::set<int> cpus;
  for (const auto& node : machine.nodes)
    for (const int cpu : node.cpus) {
      REQUIRE(cpus.insert(cpu).second);
      REQUIRE(CPU_ISSET(static_cast<unsigned>(cpu), &allowed));
    }
  REQUIRE(machine.cpu_count() == CPU_COUNT(&allowed));
}

TEST_CASE("this machine, bound to one CPU, has one") {
  cpu_set_t before;
  REQUIRE(::sched_getaffinity(0, sizeof before, &before) == 0);
  unsigned cpu = 0;
  while (!CPU_ISSET(cpu, &before)) ++cpu;
  cpu_set_t one;
  CPU_ZERO(&one);
  CPU_SET(cpu, &one);
  REQUIRE(::sched_setaffinity(0, sizeof one, &one) == 0);
  const auto machine = detect_machine();
  ::sched_setaffinity(0, sizeof before, &before);
  REQUIRE(machine.cpu_count() == 1);
  REQUIRE(machine.nodes.size() == 1);
  REQUIRE(machine.nodes[0].cpus == std::vector<int>{static_cast<int>(cpu)});
}

TEST_CASE("threads are shared out by cores") {
  Machine machine;
  const auto shares = [&](std::vector<int> cores, int threads) {
    machine.nodes.clear();
    for (const int count : cores) {
      machine.nodes.emplace_back();
      machine.nodes.back().cores = count;
    }
    return threads_of_nodes(machine, threads);
  };
  using Shares = std::vector<int>;
  REQUIRE(shares({8}, 3) == Shares{3});
  REQUIRE(shares({8, 8}, 16) == Shares{8, 8});
  REQUIRE(shares({8, 8}, 5) == Shares{3, 2});
  REQUIRE(shares({8, 8}, 1) == Shares{1, 0});
  REQUIRE(shares({4, 12}, 8) == Shares{2, 6});
  REQUIRE(shares({1, 15}, 2) == Shares{1, 1});
  REQUIRE(shares({2, 2, 2, 2}, 6) == Shares{2, 1, 2, 1});
  REQUIRE(shares({2, 2, 2, 2, 2, 2, 2, 2}, 3) == Shares{1, 0, 1, 0, 0, 1, 0, 0});
  REQUIRE(shares({64, 64}, 4096) == Shares{2048, 2048});
}
