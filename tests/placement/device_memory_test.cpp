// What a plan takes of each device.
#include "placement/device_memory.hpp"

#include "catch.hpp"
#include "placement/planner.hpp"
#include "sample.hpp"

using namespace ktx;
using namespace ktx::placement;
using sample::error_of;

namespace {

Plan plan_of(const std::string& lines, hw::Machine machine, const PlanOptions& options = {}) {
  return make_plan(sample::rule_list(lines), sample::deepseek(), std::move(machine), options);
}

const std::string on_gpu = "  - {name: all, match: {name: '.*'}, place: {device: 'cuda:0'}}\n";
const std::string spread =
    "  - {name: all, match: {name: '.*'}, place: {device: ['cuda:1', cpu], spread: layers}}\n";

}  // namespace

TEST_CASE("a cache lies where its attention runs, weights where their modules do") {
  const auto plan = plan_of(spread, sample::machine_with_gpus(2), {.cache_length = 64});
  REQUIRE(plan.devices.size() == 2);
  CHECK(plan.devices[0].device == "cpu");
  CHECK(plan.devices[1].device == "cuda:1");
  const uint64_t one_cache = 64 * 2 * (512 + 64);
  CHECK(plan.devices[0].cache == 2 * one_cache);
  CHECK(plan.devices[1].cache == 2 * one_cache);
  uint64_t cpu = 0, gpu = 0;
  for (const auto& planned : plan.modules) (planned.device == "cpu" ? cpu : gpu) += planned.bytes;
  CHECK(plan.devices[0].weights == cpu);
  CHECK(plan.devices[1].weights == gpu);
  CHECK(plan.devices[0].driver == 0);
  CHECK(plan.devices[1].driver == driver_bytes);
}

TEST_CASE("a GPU that only prefills holds copies, one that experts pass through none") {
  const std::string experts = "  - {name: experts, match: {class: moe.experts}, place: {}, ";
  const std::string rest = "  - {name: rest, match: {name: '.*'}, place: {}}\n";
  const auto copies =
      plan_of(experts + "prefill: {device: 'cuda:0'}}\n" + rest, sample::machine_with_gpus(1));
  CHECK(copies.find_device("cuda:0")->weights == 3 * 32 * uint64_t{3} * 256 * 256 * 2);
  const auto stream = plan_of(experts + "prefill: {device: 'cuda:0', stream: yes}}\n" + rest,
                              sample::machine_with_gpus(1));
  CHECK(stream.find_device("cuda:0")->weights == 0);
  const uint64_t on_cpu = stream.find_device("cpu")->weights;
  CHECK(on_cpu == copies.find_device("cpu")->weights);
  // What is streamed from is mapped on the GPU, in pages of 4 KiB.
  CHECK(copies.find_device("cuda:0")->driver == driver_bytes);
  CHECK(stream.find_device("cuda:0")->driver == driver_bytes + on_cpu / 512);
}

TEST_CASE("GPUs are in the order of their numbers, and what the engine needs is added") {
  const auto needs = [](const Plan& plan) {
    CHECK(plan.devices.back().weights > 0);
    return std::vector<DeviceMemory>{{.device = "cuda:0", .streaming = 7, .loading = 5},
                                     {.device = "cpu", .activations = 1, .scratch = 2},
                                     {.device = "cuda:1", .rope_tables = 3}};
  };
  const auto plan = plan_of(spread, sample::machine_with_gpus(2), {.run_memory = needs});
  REQUIRE(plan.devices.size() == 3);
  CHECK(plan.devices[1].device == "cuda:0");
  CHECK(plan.devices[1].streaming == 7);
  CHECK(plan.devices[1].loading == 5);
  CHECK(plan.devices[0].activations == 1);
  CHECK(plan.devices[0].scratch == 2);
  CHECK(plan.devices[2].rope_tables == 3);
}

TEST_CASE("too little video memory") {
  auto machine = sample::machine_with_gpus(1);
  CHECK_NOTHROW(plan_of(on_gpu, machine));
  machine.gpus[0].memory_bytes = uint64_t{610} << 20;
  const auto error = error_of([&] { plan_of(on_gpu, machine, {.cache_length = 64}); });
  CHECK(error ==
        "r.yaml: the plan needs 646 MiB of cuda:0's memory, this RTX 4090 has 610 MiB\n"
        "  note: weights 46.1 MiB, KV cache of 64 tokens 288 KiB, activations 0 B, the driver 600 "
        "MiB\n"
        "  note: modules on the cpu or another GPU would help, or a smaller format for the largest "
        "ones");
  const auto advice = [&](const DeviceMemory& needs) {
    return error_of([&] {
      plan_of(on_gpu, machine, {.run_memory = [&](const Plan&) { return std::vector{needs}; }});
    });
  };
  CHECK(advice({.device = "cuda:0", .scratch = 1 << 30}).find("a smaller prefill_chunk") !=
        std::string::npos);
  CHECK(error_of([&] {
          plan_of(on_gpu, machine, {.cache_length = 100000});
        }).find("a shorter context (--context)") != std::string::npos);
  CHECK(error_of([&] {
          plan_of(
              "  - {name: experts, match: {class: moe.experts}, place: {experts: {resident: "
              "20, on: 'cuda:0'}}}\n  - {name: rest, match: {name: '.*'}, place: {}}\n",
              machine);
        }).find("fewer resident experts would help") != std::string::npos);
}
