// What the machine reaches, as the public header tells it.
#include <set>

#include "catch.hpp"
#include "core/hw/machine.hpp"
#include "ktx/bench.hpp"

using namespace ktx;

TEST_CASE("the machine's speed has a bandwidth and the peaks of its ISA") {
  const auto speed = measure_machine(1);
  CHECK(speed.threads == 1);
  CHECK(speed.name == hw::detect_machine().name);
  CHECK(speed.read_bandwidth > 0);
  std::set<std::string> types;
  for (const auto& peak : speed.peaks) {
    CHECK(peak.ops_per_second > 0);
    CHECK(hw::find_isa(peak.isa).value() <= hw::usable_isa());
    types.insert(peak.type);
  }
  if (hw::usable_isa() >= hw::Isa::avx2) CHECK(types.contains("int8"));
}

TEST_CASE("the best peak is that of a type, or of all") {
  MachineSpeed speed;
  CHECK(speed.best_peak() == nullptr);
  speed.peaks = {{"avx2", "f32", 1}, {"avx512", "f32", 3}, {"avx2", "int8", 4}, {"x", "int8", 2}};
  CHECK(speed.best_peak("f32") == &speed.peaks[1]);
  CHECK(speed.best_peak("int8") == &speed.peaks[2]);
  CHECK(speed.best_peak() == &speed.peaks[2]);
  CHECK(speed.best_peak("bf16") == nullptr);
}
