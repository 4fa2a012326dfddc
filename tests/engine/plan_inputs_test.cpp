// Machines that files describe, and the memory that running takes.
#include "engine/plan_inputs.hpp"

#include "catch.hpp"
#include "core/hw/machine.hpp"
#include "engine/access.hpp"
#include "ktx/plan.hpp"
#include "support/reference.hpp"
#include "support/temp_dir.hpp"

using namespace ktx;

TEST_CASE("a described machine is that of its file, its names without control characters") {
  const test::TempDir folder;
  const auto machine = engine::described_machine(folder.write(
      "box.yaml",
      "name: \"a \\e[31mred box\"\nisa: avx2\nnodes: {count: 3, cores: 5, memory: 7GiB}\n"
      "gpus: [{name: \"a\\tcard\", memory: 9GiB}]\n"));
  CHECK(machine.nodes.size() == 3);
  CHECK(machine.name.find('\x1b') == std::string::npos);
  CHECK(machine.gpus.at(0).name.find('\t') == std::string::npos);
}

TEST_CASE("a description of this machine adds speeds to what it has") {
  const test::TempDir folder;
  auto here = engine::this_machine();
  here.read_bandwidth = 123e9;
  const auto own_name = here.name;
  here.name = "known by another name";
  const auto machine = engine::described_machine(folder.write("here.yaml", hw::machine_text(here)));
  CHECK(machine.read_bandwidth == Approx(123e9));
  CHECK(machine.name == own_name);
}

TEST_CASE("memory for running counts loading on the CPU, more for more threads") {
  const auto plan_on = [](int threads) {
    return make_plan({.model = test::shipped_model,
                      .rules = test::source_dir / "optimize_rules/cpu.yaml",
                      .threads = threads});
  };
  const auto one = plan_on(1), eight = plan_on(8);
  engine::RunMemory memory(*engine::Access::source(one));
  const auto of_one = memory(engine::Access::details(one)).front();
  const auto of_eight = memory(engine::Access::details(eight)).front();
  CHECK(of_one.device == "cpu");
  CHECK(of_one.loading > 0);
  CHECK(of_eight.loading > of_one.loading);
  CHECK(memory(engine::Access::details(one)).front().loading == of_one.loading);
}
