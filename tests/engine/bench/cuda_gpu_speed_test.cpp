// Speeds of this box's GPUs.
#include "catch.hpp"
#include "core/device/gpus.hpp"
#include "engine/bench/gpu_speed.hpp"
#include "support/gpu.hpp"

using namespace ktx;

TEST_CASE("cuda: a GPU's speeds are those of a GPU") {
  if (!ktx::test::have_gpu()) SKIP(ktx::test::no_gpu);
  auto machine = hw::detect_machine();
  machine.gpus = device::detect_gpus();
  engine::measure_gpus(machine);
  REQUIRE_FALSE(machine.gpus.empty());
  for (const auto& gpu : machine.gpus) {
    CHECK(gpu.read_bandwidth > gpu.copy_bandwidth);
    CHECK(gpu.copy_bandwidth > 1e9);
    CHECK(gpu.copy_while_reading < 1.1 * gpu.copy_bandwidth);
    CHECK(gpu.tensor_flops > 1e12);
  }
  CHECK(machine.read_while_copying > 0);
}
