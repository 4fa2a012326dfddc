// This box as YAML.
// covers: no_cuda
#include "catch.hpp"
#include "core/device/gpus.hpp"
#include "core/hw/machine.hpp"
#include "ktx/bench.hpp"
#include "support/reference.hpp"

using namespace ktx;

TEST_CASE("this box describes itself, with what predictions are made from") {
  const auto text = describe_machine(test::shipped_model);
  INFO(text);
  const auto machine = hw::parse_machine(base::parse_yaml(text, "box.yaml"));
  auto here = hw::detect_machine();
  here.gpus = device::detect_gpus();
  CHECK(hw::is_same_machine(machine, here));
  CHECK(machine.read_bandwidth > 0);
  CHECK(machine.tensor_flops > 0);
  for (const auto& gpu : machine.gpus) {
    CHECK(gpu.read_bandwidth > 0);
    CHECK(gpu.copy_bandwidth > 0);
    CHECK(gpu.copy_while_reading > 0);
    CHECK(gpu.tensor_flops > 0);
  }
}
