// Threads go to the CPUs they are told to, and back.
#include "core/hw/affinity.hpp"

#include <vector>

#include "catch.hpp"

using namespace ktx::hw;

namespace {

std::vector<int> my_cpus() {
  cpu_set_t set;
  REQUIRE(::sched_getaffinity(0, sizeof set, &set) == 0);
  std::vector<int> cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE; ++cpu)
    if (CPU_ISSET(static_cast<unsigned>(cpu), &set)) cpus.push_back(cpu);
  return cpus;
}

}  // namespace

TEST_CASE("a guard keeps the thread on its CPUs and lets it go") {
  const auto before = my_cpus();
  REQUIRE(available_cpus() == static_cast<int>(before.size()));
  const std::vector<int> last{before.back()};
  {
    const CpuGuard guard(last);
    REQUIRE(my_cpus() == last);
    REQUIRE(available_cpus() == 1);
  }
  REQUIRE(my_cpus() == before);
}

TEST_CASE("CPUs that do not exist change nothing") {
  const auto before = my_cpus();
  for (const std::vector<int>& cpus : {std::vector<int>{}, {-1}, {1'000'000}, {CPU_SETSIZE - 1}}) {
    const CpuGuard guard(cpus);
    REQUIRE(my_cpus() == before);
  }
  pin_this_thread(-1);
  pin_this_thread(CPU_SETSIZE);
  REQUIRE(my_cpus() == before);
}
