// Experts that stay on a GPU: which ones, how many fit, and what can't be.
#include "placement/residents.hpp"

#include <fstream>
#include <numeric>

#include "catch.hpp"
#include "placement/planner.hpp"
#include "sample.hpp"
#include "support/own_file.hpp"

using namespace ktx;
using namespace ktx::placement;
using sample::error_of;

namespace {

const std::string rest = "  - {name: rest, match: {name: '.*'}, place: {}}\n";

// A plan whose routed experts have this `experts:`; layers 1 to 3 have 32 experts each.
Plan plan_of(const std::string& experts, const PlanOptions& options = {},
             const std::string& more = "") {
  return make_plan(sample::rule_list("  - {name: experts, match: {class: moe.experts}, place: " +
                                     ("{experts: " + experts + "}" + more) + "}\n" + rest),
                   sample::deepseek(), sample::machine_with_gpus(2), options);
}
std::string error_with(const std::string& experts, const std::string& more = "") {
  return error_of([&] { plan_of(experts, {}, more); });
}

const PlannedModule& experts_of(const Plan& plan, int layer) {
  for (const auto& planned : plan.modules) {
    const auto& module = plan.model.modules[static_cast<size_t>(planned.module)];
    if (module.op == "moe" && module.layer == layer) return planned;
  }
  throw std::runtime_error("no experts");
}

std::vector<int32_t> first(int count) {
  std::vector<int32_t> experts(static_cast<size_t>(count));
  std::iota(experts.begin(), experts.end(), 0);
  return experts;
}

constexpr uint64_t bytes_of_one = uint64_t{3} * 256 * 256 * 2;  // bf16

}  // namespace

TEST_CASE("residents lie on their GPU and no longer in RAM") {
  const auto none =
      make_plan(sample::rule_list(rest), sample::deepseek(), sample::machine_with_gpus(2), {});
  const auto plan = plan_of("{resident: 5, on: 'cuda:1'}");
  CHECK(none.find_device("cuda:1") == nullptr);
  for (const int layer : {1, 2, 3}) {
    const auto& planned = experts_of(plan, layer);
    CHECK(planned.device == "cpu");
    CHECK(planned.residents.device == "cuda:1");
    CHECK(planned.residents.experts == first(5));
    CHECK(planned.residents.bytes == 5 * bytes_of_one);
    CHECK(planned.bytes == experts_of(none, layer).bytes);
    CHECK(planned.weights[0].bytes == 27 * bytes_of_one / 3);
    CHECK(planned.weights[0].parts[0].bytes == planned.weights[0].bytes);
  }
  CHECK(plan.find_device("cuda:1")->weights == 3 * 5 * bytes_of_one);
  CHECK(plan.find_device("cpu")->weights ==
        none.find_device("cpu")->weights - 3 * 5 * bytes_of_one);
  CHECK(plan.weight_bytes() == none.weight_bytes());

  const auto both = plan_of("{resident: 5, on: 'cuda:1', keep_ram: yes}");
  CHECK(both.find_device("cuda:1")->weights == 3 * 5 * bytes_of_one);
  CHECK(both.find_device("cpu")->weights == none.find_device("cpu")->weights);
}

TEST_CASE("residents by a list, or by a profile beside the rules file") {
  for (const int layer : {1, 3}) {
    CHECK(experts_of(plan_of("{list: [7, 3], on: 'cuda:0'}"), layer).residents.experts ==
          std::vector<int32_t>{3, 7});
    CHECK(
        experts_of(plan_of("{list: [7, 3], resident: 1, on: 'cuda:0'}"), layer).residents.experts ==
        std::vector<int32_t>{7});
  }
  const auto profile = test::own_file("residents_test_profile.yaml");
  std::ofstream(profile) << "layers: {1: [9, 4, 30], 2-3: [31, 1]}\n";
  const std::string by = "on: 'cuda:0', by: '" + profile.string() + "'}";
  const auto plan = plan_of("{resident: 2, " + by);
  CHECK(experts_of(plan, 1).residents.experts == std::vector<int32_t>{4, 9});
  CHECK(experts_of(plan, 2).residents.experts == std::vector<int32_t>{1, 31});
  CHECK(error_with("{resident: 3, " + by) ==
        "r.yaml:3:67: experts: resident: 3, but only 2 of model.layers.2.mlp.experts are listed");
  std::ofstream(profile) << "layers: {1: [9, 4, 30], 3: [31, 1]}\n";
  CHECK(error_with("{resident: 2, " + by) == "r.yaml:3:99: experts: " + profile.string() +
                                                 " has no layer 2, whose experts the rule matches");
  std::ofstream(profile) << "layers: {1: [9, 32]}\n";
  CHECK(error_with("{resident: 1, " + by)
            .find("names expert 32, but model.layers.1.mlp.experts has 32, counted from 0") !=
        std::string::npos);
}

TEST_CASE("random residents differ from layer to layer, and not from run to run") {
  const auto residents = [](int layer) {
    return experts_of(plan_of("{resident: 8, on: 'cuda:0', by: random}"), layer).residents.experts;
  };
  CHECK(residents(1).size() == 8);
  CHECK(residents(1) != first(8));
  CHECK(residents(1) != residents(2));
  CHECK(residents(2) == residents(2));
  CHECK(error_with("{on: 'cuda:0', by: random, list: [1]}").find("by and list both say which") !=
        std::string::npos);
}

TEST_CASE("a size of video memory is filled by equally many experts of each layer") {
  const auto needs = [](const Plan& plan) {
    CHECK(experts_of(plan, 1).residents.experts.size() == 1);
    return std::vector<DeviceMemory>{{.device = "cuda:0", .scratch = 100 << 20}};
  };
  // 601 MiB and scratch: 16 MiB are left, which hold 42 experts of 384 KiB: 14 a layer.
  const auto plan = plan_of("{vram: 716MiB, on: 'cuda:0'}", {.run_memory = needs});
  for (const int layer : {1, 2, 3}) CHECK(experts_of(plan, layer).residents.experts == first(14));
  CHECK(plan.find_device("cuda:0")->most() <= uint64_t{716} << 20);
  CHECK(plan.find_device("cuda:0")->weights == 42 * bytes_of_one);
  // One more fits: of the first layer.
  const auto more = plan_of("{vram: 733568KiB, on: 'cuda:0'}", {.run_memory = needs});
  CHECK(experts_of(more, 1).residents.experts == first(15));
  CHECK(experts_of(more, 2).residents.experts == first(14));
  // All but one of a layer at most: the CPU runs the others.
  CHECK(experts_of(plan_of("{vram: 9GiB, on: 'cuda:0'}"), 3).residents.experts == first(31));
  CHECK(error_with("{vram: 601MiB, on: 'cuda:0'}") ==
        "r.yaml:3:67: experts: vram: 601 MiB on cuda:0 does not hold one expert of each layer "
        "besides what else the plan has there\n"
        "  note: a larger size, a shorter context or a smaller prefill_chunk would help");
}

TEST_CASE("without a device residents stay where prompts run, each GPU filled by itself") {
  const std::string two = ", prefill: {device: ['cuda:0', 'cuda:1'], spread: layers, stream: yes}";
  const auto plan = plan_of("{vram: 606MiB}", {}, two);
  CHECK(experts_of(plan, 1).residents.device == "cuda:0");  // with layer 0
  CHECK(experts_of(plan, 2).residents.device == "cuda:1");
  CHECK(experts_of(plan, 3).residents.device == "cuda:1");
  // 6 MiB hold 16 experts of 384 KiB, but for the page tables of those on the CPU.
  CHECK(experts_of(plan, 1).residents.experts == first(15));
  CHECK(experts_of(plan, 2).residents.experts == first(8));
  CHECK(experts_of(plan, 3).residents.experts == first(7));
  // A list gives each a range of layers too.
  const auto listed = plan_of("{vram: 606MiB, on: ['cuda:0', 'cuda:1']}");
  for (const int layer : {1, 2, 3})
    CHECK(experts_of(listed, layer).residents.device == experts_of(plan, layer).residents.device);
  CHECK(error_with("{vram: 600MiB, on: ['cuda:0', 'cuda:1']}").find("600 MiB on cuda:0 does not") !=
        std::string::npos);
  CHECK(error_with("{resident: 1}") ==
        "r.yaml:3:67: experts: 'on:' is missing, the GPU that holds them\n"
        "  note: without it they stay where prompts run: prefill: {device: cuda:0, stream: yes}");
}

TEST_CASE("what can't stay on a GPU") {
  CHECK(error_with("{resident: 32, on: 'cuda:0'}") ==
        "r.yaml:3:67: experts: 32 of the 32 experts of model.layers.1.mlp.experts can't stay on "
        "cuda:0: some are left for the cpu\n"
        "  note: place: {device: 'cuda:0'} runs all of them there");
  CHECK(error_with("{list: [40], on: 'cuda:0'}") ==
        "r.yaml:3:74: experts: list names expert 40, but model.layers.1.mlp.experts has 32, "
        "counted from 0");
  const auto placed = [](const std::string& place, hw::Isa isa = hw::Isa::avx2) {
    auto machine = sample::machine_with_gpus(2);
    machine.isa = isa;
    return error_of([&] {
      make_plan(sample::rule_list("  - {name: experts, match: {class: moe.experts}, " + place +
                                  "}\n" + rest),
                sample::deepseek(), machine, {});
    });
  };
  CHECK(placed("place: {device: 'cuda:1', experts: {resident: 1, on: 'cuda:0'}}")
            .find("while the cpu runs the others, but model.layers.1.mlp.experts is on cuda:1") !=
        std::string::npos);
  CHECK(placed("place: {experts: {resident: 1, on: 'cuda:0'}}, prefill: {device: 'cuda:0'}")
            .find("model.layers.1.mlp.experts has a copy on cuda:0") != std::string::npos);
  CHECK(placed("place: {experts: {resident: 1, on: 'cuda:0'}}", hw::Isa::scalar)
            .find("moe.cuda reads groups of 16 rows, the CPU's kernel moe.ref reads 'gate' row by "
                  "row") != std::string::npos);
  CHECK(placed("place: {format: f16, experts: {resident: 1, on: 'cuda:0'}}")
            .find("cuda:0 can't run experts of model.layers.1.mlp.experts: moe.cuda reads "
                  "no experts in f16\n  note: formats that it runs: bf16, ") != std::string::npos);
}
