// What each rule keyword does, and what it says when it can't.
#include "placement/apply.hpp"

#include "catch.hpp"
#include "placement/planner.hpp"
#include "sample.hpp"

using namespace ktx;
using namespace ktx::placement;
using sample::error_of;

namespace {

// The error of a plan with a rule of this `place` for one module, and a rule for the rest.
std::string error_with(const std::string& match, const std::string& place, hw::Machine machine) {
  const auto rules = sample::rule_list("  - {name: it, match: {" + match + "}, place: {" + place +
                                       "}}\n  - {name: rest, match: {name: '.*'}, place: {}}\n");
  return error_of([&] { make_plan(rules, sample::deepseek(), std::move(machine), {}); });
}

std::string error_with(const std::string& match, const std::string& place) {
  return error_with(match, place, sample::machine());
}

std::string needs_error(const std::string& needs, const hw::Machine& machine) {
  const auto rules = sample::rules("ktx: 1\nmachine: {" + needs +
                                   "}\nrules:\n  - {name: all, match: {name: '.*'}, place: {}}\n");
  return error_of([&] { make_plan(rules, sample::deepseek(), machine, {}); });
}

}  // namespace

TEST_CASE("devices that can't be had") {
  const std::string head = "name: lm_head";
  CHECK(
      error_with(head, "device: 'cuda:0'") ==
      "r.yaml:3:56: device cuda:0: this machine has no GPU\n  note: devices of this machine: cpu");
  CHECK(error_with(head, "device: 'cuda:2'", sample::machine_with_gpus(2)) ==
        "r.yaml:3:56: device cuda:2: this machine has no such GPU, only 2\n"
        "  note: devices of this machine: cpu, cuda:0 (RTX 4090), cuda:1 (RTX 4090)");
  CHECK(error_with(head, "device: 'cuda:0'", sample::machine_with_gpus(1)).empty());
  auto old = sample::machine_with_gpus(1);
  old.gpus[0].capability = 75;
  CHECK(error_with(head, "device: 'cuda:0'", old) ==
        "r.yaml:3:56: device cuda:0: RTX 4090 has compute capability 7.5, kernels need 8.0\n"
        "  note: devices of this machine: cpu, cuda:0 (RTX 4090)");
  old.gpus[0].capability = 80;
  CHECK(error_with(head, "device: 'cuda:0'", old).empty());
}

TEST_CASE("a list of devices and spread belong together") {
  const std::string mlps = "class: mlp.dense";
  CHECK(error_with(mlps, "device: [cpu, 'cuda:0'], spread: layers").find("has no GPU") !=
        std::string::npos);
  CHECK(error_with(mlps, "device: [cpu, 'cuda:0']", sample::machine_with_gpus(1)) ==
        "r.yaml:3:59: device: cpu, cuda:0 is a list, but the rule has no spread\n"
        "  note: add spread: layers, or give one device");
  CHECK(error_with(mlps, "spread: layers") ==
        "r.yaml:3:59: spread: layers needs a list of devices, e.g. device: [cuda:0, cuda:1]");
  CHECK(error_with(mlps + ", layers: 0", "device: [cpu, 'cuda:0'], spread: layers",
                   sample::machine_with_gpus(1)) ==
        "r.yaml:3:70: device: can't spread 1 layers over 2 devices");
}

TEST_CASE("experts that can't stay on a GPU") {
  const std::string experts = "class: moe.experts", four = "experts: {resident: 4, on: 'cuda:0'";
  CHECK(error_with("name: lm_head", four + "}", sample::machine_with_gpus(1)) ==
        "r.yaml:3:57: experts: lm_head has no routed experts, its op is linear\n"
        "  note: let the rule match only class moe.experts");
  CHECK(error_with(experts, four + "}").find("device cuda:0: this machine has no GPU") !=
        std::string::npos);
  CHECK(error_with(experts, "experts: {resident: 4, on: cpu}", sample::machine_with_gpus(1)) ==
        "r.yaml:3:62: experts: on: expected a GPU, found cpu\n"
        "  note: devices of this machine: cpu, cuda:0 (RTX 4090)");
}

TEST_CASE("streaming is for routed experts") {
  CHECK(error_with("name: lm_head", "stream: yes", sample::machine_with_gpus(1)) ==
        "r.yaml:3:56: stream: lm_head has no routed experts, its op is linear\n"
        "  note: let the rule match only class moe.experts");
}

TEST_CASE("a GPU has no NUMA nodes") {
  CHECK(
      error_with("name: lm_head", "device: 'cuda:0', numa: shard", sample::machine_with_gpus(1)) ==
      "r.yaml:3:72: numa: lm_head is on cuda:0, which has no NUMA nodes\n"
      "  note: leave numa out");
  CHECK(error_with("class: linear", "device: [cpu, 'cuda:0'], spread: layers, numa: shard",
                   sample::machine_with_gpus(1))
            .empty());
}

TEST_CASE("an op that is not the module's") {
  CHECK(error_with("name: embed", "op: moe.auto") ==
        "r.yaml:3:50: op moe.auto can't run model.embed_tokens, whose op is embedding\n"
        "  note: let the rule match only modules of op moe, or use op: auto\n"
        "  note: an op that runs it: embedding.auto");
  CHECK(error_with("name: lm_head", "op: linear.ref").empty());
}

TEST_CASE("NUMA policies") {
  const std::string head = "name: lm_head";
  for (const char* policy : {"replicate", "shard", "interleave", "'node:0'"})
    CHECK(error_with(head, "numa: " + std::string(policy)).empty());
  CHECK(error_with(head, "numa: 'node:3'", sample::machine(hw::Isa::avx2, 2)) ==
        "r.yaml:3:54: numa: this machine has no NUMA node 3\n"
        "  note: nodes of this machine: node:0, node:1");
  for (const char* policy : {"replicate", "shard", "interleave", "node:0"})
    CHECK(error_with(head, "numa: '" + std::string(policy) + "'", sample::machine(hw::Isa::avx2, 2))
              .empty());
}

TEST_CASE("what the machine must have") {
  const auto machine = sample::machine(hw::Isa::avx2, 2, 8);
  CHECK(needs_error("ram: 16GiB, isa: avx2", machine).empty());
  const std::string note =
      "\n  note: for a model that needs less than the one that they were written for, lower it or "
      "leave it out";
  CHECK(needs_error("ram: 17GiB", machine) ==
        "r.yaml:2:16: these rules need 17.0 GiB of memory, this machine has 16.0 GiB" + note);
  CHECK(needs_error("isa: amx_int8", machine) ==
        "r.yaml:2:16: these rules need a CPU with amx_int8, this machine has avx2");
  CHECK(needs_error("vram: 14GiB", machine) ==
        "r.yaml:2:17: these rules need 14.0 GiB of GPU memory, this machine has no GPU" + note);
  CHECK(needs_error("vram: 48GiB", sample::machine_with_gpus(2)).empty());
  CHECK(needs_error("vram: 49GiB", sample::machine_with_gpus(2)) ==
        "r.yaml:2:17: these rules need 49.0 GiB of GPU memory, this machine has 48.0 GiB" + note);
}

TEST_CASE("each key of match by itself") {
  graph::Module module{.path = "model.layers.3.mlp.experts"};
  module.classes = {"moe.experts", "moe"};
  module.layer = 3;
  Match match;
  CHECK(matches_name(match, module));
  CHECK(matches_class(match, module));
  CHECK(matches_layers(match, module));
  match.class_name = {"moe", ""};
  CHECK(matches_class(match, module));
  match.class_name = {"mlp", ""};
  CHECK_FALSE(matches_class(match, module));
  match.layers = {{{0, 2}, {4, 5}}, ""};
  CHECK_FALSE(matches_layers(match, module));
  match.layers->value = {{0, 2}, {3, 3}, {4, 5}};
  CHECK(matches_layers(match, module));
}
