// Whole plans: places, phases, bytes, memory, and the full-size model.
#include "placement/planner.hpp"

#include <filesystem>

#include "catch.hpp"
#include "sample.hpp"

using namespace ktx;
using namespace ktx::placement;
using quant::Format;
using sample::error_of;

namespace {

Plan plan_of(const std::string& lines, const PlanOptions& options = {},
             const sample::DeepSeek& shape = {}, hw::Machine machine = sample::machine()) {
  return make_plan(sample::rule_list(lines), sample::deepseek(shape), std::move(machine), options);
}
std::string error_with(const std::string& lines, const PlanOptions& options = {}) {
  return error_of([&] { plan_of(lines, options); });
}

// path by pointer: GCC 13 takes the result to point into a temporary text.
const PlannedModule& at(const Plan& plan, const char* path) {
  for (const auto& planned : plan.modules)
    if (plan.model.modules[static_cast<size_t>(planned.module)].path == path) return planned;
  throw std::runtime_error(std::string("no module ") + path);
}

const std::string rest = "  - {name: rest, match: {name: '.*'}, place: {}}\n";

}  // namespace

TEST_CASE("a plan places every module that is run, by its rule") {
  const auto plan = plan_of(
      "  - {name: experts, match: {class: moe.experts}, place: {format: int4/64, numa: shard}}\n" +
      rest);
  CHECK(plan.modules.size() + 1 == plan.model.modules.size());
  const auto& experts = at(plan, "model.layers.2.mlp.experts");
  CHECK(experts.rule_name == "experts");
  CHECK(experts.rule_where == "r.yaml:3");
  CHECK(experts.device == "cpu");
  CHECK(experts.numa == NumaPolicy{NumaKind::node, 0});
  REQUIRE(experts.weights.size() == 3);
  for (const auto& weight : experts.weights) {
    CHECK(weight.source == Format::bf16);
    CHECK(weight.format == Format::int4_64);
    CHECK(weight.bytes == 32 * 256 * static_cast<uint64_t>(quant::row_bytes(Format::int4_64, 256)));
  }
  CHECK(experts.bytes == 3 * experts.weights[0].bytes);
  CHECK(experts.bytes_per_token == experts.bytes / 4);
  const auto& embedding = at(plan, "model.embed_tokens");
  CHECK(embedding.bytes == 1024 * 256 * 2);
  CHECK(embedding.bytes_per_token == 256 * 2);
  CHECK(at(plan, "model.norm").bytes == 256 * 4);
  const auto& mla = at(plan, "model.layers.0.self_attn.kv_b_proj");
  CHECK(mla.weights[0].format == Format::f32);
  CHECK(mla.weights[1].format == Format::bf16);
  REQUIRE(plan.rules.size() == 2);
  CHECK(plan.rules[0].modules == 3);
  CHECK(plan.rules[0].bytes == 3 * experts.bytes);
  CHECK(plan.rules[0].modules + plan.rules[1].modules == plan.modules.size());
}

TEST_CASE("what the engine needs besides counts as memory of the plan") {
  const auto alone = plan_of(rest, {.cache_length = 100});
  const auto needs = [&](const Plan& decided) {
    CHECK(decided.modules.size() == alone.modules.size());
    return std::vector<DeviceMemory>{
        {.device = "cpu", .activations = 3, .scratch = 5, .rope_tables = 2, .loading = 1}};
  };
  const auto plan = plan_of(rest, {.cache_length = 100, .run_memory = needs});
  CHECK(plan.devices.front().most() == alone.devices.front().most() + 10);
  const auto too_much = [](const Plan&) {
    return std::vector<DeviceMemory>{{.device = "cpu", .scratch = 1ull << 50}};
  };
  CHECK_THROWS_AS(plan_of(rest, {.run_memory = too_much}), Error);
}

TEST_CASE("cache and prediction") {
  auto machine = sample::machine();
  const auto unknown = plan_of(rest, {.cache_length = 100});
  CHECK(unknown.cache_bytes() == 4 * (512 + 64) * 2 * 128);  // bf16, pages of 64 tokens
  CHECK(unknown.predicted_decode == 0);
  machine.read_bandwidth = 20e9;
  const auto known = plan_of(rest, {}, {}, machine);
  CHECK(known.predicted_decode > 0);
  CHECK(known.predicted_decode < 20e9 / static_cast<double>(known.bytes_per_token()));
  const auto fewer = plan_of(rest, {.experts_per_token = 2}, {}, machine);
  CHECK(fewer.predicted_decode > known.predicted_decode);
}

TEST_CASE("memory for many sessions: their caches, and the rows that decode") {
  const PlanOptions options{.cache_length = 100, .prefill_chunk = 64};
  const auto one = plan_of(rest, options);
  CHECK(one.cache_pages == 2);
  CHECK(one.prefill_chunk == 64);
  CHECK(one.decode_rows() == 8);
  auto of_many = options;
  of_many.sessions = 8;
  const auto eight = plan_of(rest, of_many);
  CHECK(eight.cache_pages == 16);
  CHECK(eight.cache_bytes() == 8 * one.cache_bytes());
  CHECK(eight.decode_rows() == 64);  // all of them may decode 8 rows at once
}

TEST_CASE("no slice of prompts is longer than what all sessions can hold") {
  PlanOptions options{.cache_length = 100, .prefill_chunk = 4096, .sessions = 3};
  CHECK(plan_of(rest, options).prefill_chunk == 300);
  options.prefill_chunk = 64;
  CHECK(plan_of(rest, options).prefill_chunk == 64);
}

TEST_CASE("the formats of the KV cache differ in bytes") {
  const auto bytes = [](graph::KvFormat format) {
    return plan_of(rest, {.cache_length = 64, .cache_format = format}).cache_bytes();
  };
  CHECK(bytes(graph::KvFormat::f32) == 4 * 64 * 4 * (512 + 64));
  CHECK(bytes(graph::KvFormat::bf16) == 4 * 64 * 2 * (512 + 64));
  CHECK(bytes(graph::KvFormat::fp8) == 4 * 64 * 656);
}

TEST_CASE("phases may use kernels of their own, and nothing else") {
  const auto plan = plan_of(
      "  - {name: head, match: {class: head}, place: {format: int8}, decode: {op: linear.avx2}}\n"
      "  - {name: o, match: {name: o_proj}, place: {format: int8}, prefill: {op: auto}}\n" +
      rest);
  const auto& head = at(plan, "lm_head");
  CHECK(head.decode.name == "avx2");
  CHECK(head.prefill.name == at(plan, "model.layers.0.self_attn.o_proj").prefill.name);
  CHECK(head.prefill.name != "avx2");
  const std::string start = "  - {name: a, match: {name: lm_head}, place: {}, ";
  CHECK(error_with(start + "decode: {format: int8}}\n" + rest) ==
        "r.yaml:3:67: decode: the format can't differ from that of place: weights are stored once, "
        "for both phases\n  note: give the format in place");
  CHECK(error_with(start + "prefill: {numa: shard}}\n" + rest) ==
        "r.yaml:3:66: prefill: the numa policy can't differ from that of place: weights are stored "
        "once, for both phases\n  note: give numa in place");
  CHECK(
      error_with(start + "prefill: {device: 'cuda:0'}}\n" + rest) ==
      "r.yaml:3:68: device cuda:0: this machine has no GPU\n  note: devices of this machine: cpu");
  CHECK(error_with(start + "prefill: {device: cpu, format: keep}}\n" + rest).empty());
  CHECK(error_with("  - {name: a, match: {name: lm_head}, place: {numa: shard}, prefill: {numa: "
                   "shard}}\n" +
                   rest)
            .empty());
}

TEST_CASE("norms and routers keep f32 under a broad rule, which the plan notes") {
  const auto plan = plan_of("  - {name: all, match: {name: '.*'}, place: {format: int8}}\n");
  CHECK(at(plan, "model.norm").note == "f32, not int8: norms always run in f32");
  CHECK(at(plan, "model.layers.1.mlp.gate").note == "f32, not int8: routers always run in f32");
  CHECK(at(plan, "lm_head").note.empty());
  CHECK(at(plan, "lm_head").weights[0].format == Format::int8);
}

TEST_CASE("a format for nothing but norms or routers is a mistake") {
  CHECK(
      error_with("  - {name: gates, match: {class: moe.router}, place: {format: int8}}\n" + rest) ==
      "r.yaml:3:63: format int8: rule 'gates' matches no module whose weights can be stored in "
      "another format\n"
      "  note: model.layers.1.mlp.gate: f32, not int8: routers always run in f32\n"
      "  note: leave the format out, or use keep");
  CHECK(error_with("  - {name: gates, match: {class: moe.router}, place: {format: keep}}\n" + rest)
            .empty());
  CHECK(error_with("  - {name: gates, match: {class: moe.router}, place: {format: f32}}\n" + rest)
            .empty());
}

TEST_CASE("a cache of more bytes than can be counted") {
  auto model = sample::deepseek();
  model.info.caches[1].scaled = int64_t{1} << 40;
  CHECK(error_of([&] {
          make_plan(sample::rule_list(rest), model, sample::machine(),
                    {.cache_length = int64_t{1} << 24});
        }) ==
        "context: a KV cache of 16777216 tokens has more bytes than 64 bits can count, "
        "at 1099511627840 numbers a token in one layer");
}

TEST_CASE("a plan says where memory lies, not where it was wished") {
  const auto one = plan_of("  - {name: all, match: {name: '.*'}, place: {numa: interleave}}\n");
  for (const auto& planned : one.modules) CHECK(planned.numa == NumaPolicy{NumaKind::node, 0});
  const auto two = plan_of(rest, {}, {}, sample::machine(hw::Isa::avx2, 2));
  for (const auto& planned : two.modules) {
    const auto& op = two.model.modules[static_cast<size_t>(planned.module)].op;
    const bool shared = op == "linear" || op == "moe";
    CHECK(planned.numa == NumaPolicy{shared ? NumaKind::shard : NumaKind::interleave});
    CHECK(planned.numa_note.empty());
  }
}

TEST_CASE("copies take memory but no reading") {
  const std::string all = "  - {name: all, match: {name: '.*'}, place: {numa: ";
  auto machine = sample::machine(hw::Isa::avx2, 2);
  machine.read_bandwidth = 20e9;
  const auto plan = [&](const std::string& policy) {
    return plan_of(all + policy + "}}\n", {.threads = 2}, {}, machine);
  };
  const auto one = plan("interleave"), copies = plan("replicate"), on_one = plan("'node:1'");
  const auto& experts = at(one, "model.layers.2.mlp.experts");
  CHECK(at(copies, "model.layers.2.mlp.experts").bytes == 2 * experts.bytes);
  CHECK(copies.bytes_per_token() == one.bytes_per_token());
  CHECK(copies.predicted_decode > one.predicted_decode);  // each node reads its own
  CHECK(plan("shard").weight_bytes() == one.weight_bytes());
  CHECK(on_one.predicted_decode < one.predicted_decode);  // half of the machine's bandwidth
}

TEST_CASE("a node that is asked for has workers and memory enough") {
  const auto rules =
      sample::rule_list("  - {name: all, match: {name: '.*'}, place: {numa: 'node:1'}}\n");
  auto machine = sample::machine(hw::Isa::avx2, 2);
  CHECK(
      error_of([&] { make_plan(rules, sample::deepseek(), machine, {.threads = 1}); }) ==
      "r.yaml:3:52: numa: node:1: no worker runs on that node\n"
      "  note: the 4 cores of this machine share the threads: more of them (--threads) would help");
  machine.nodes[1].memory_bytes = 1 << 20;
  CHECK(error_of([&] { make_plan(rules, sample::deepseek(), machine, {.threads = 2}); })
            .find(" of memory on NUMA node 1, which has 1.00 MiB\n"
                  "  note: numa: replicate stores a copy on every node; shard and interleave store "
                  "one copy over all nodes") != std::string::npos);
}

TEST_CASE("too little memory") {
  const auto rules = sample::rule_list(rest);
  const auto error = error_of(
      [&] { make_plan(rules, sample::deepseek(sample::full_size()), sample::machine(), {}); });
  CHECK(error.rfind("r.yaml: the plan needs 1.22 TiB of memory, this machine has 16.0 GiB\n"
                    "  note: weights 1.22 TiB, KV cache of 4096 tokens 274 MiB, activations ",
                    0) == 0);
  CHECK(error.find("a smaller format for the largest modules would help, e.g. int4/64 for the "
                   "routed experts") != std::string::npos);
  auto small = sample::full_size();
  small.matrices = small.down = quant::Format::q4_k;
  CHECK(error_of([&] {
          make_plan(rules, sample::deepseek(small), sample::machine(), {});
        }).find("a checkpoint with fewer bits per weight would help") != std::string::npos);
  const auto long_cache = error_of(
      [&] { make_plan(rules, sample::deepseek(), sample::machine(), {.cache_length = 16000000}); });
  CHECK(long_cache.find("a shorter context (--context) or fewer sessions would help most") !=
        std::string::npos);
}

TEST_CASE("the full-size model on two nodes") {
  const auto model = sample::deepseek(sample::full_size());
  const auto rules = sample::rule_list(
      "  - {name: experts, match: {class: moe.experts, layers: 3-60}, place: {format: int4/64}}\n"
      "  - {name: attention, match: {name: '\\.self_attn\\.'}, place: {format: int8}}\n"
      "  - {name: dense, match: {class: mlp.dense}, place: {format: int8/128}}\n" +
      rest);
  const auto plan = make_plan(rules, model, sample::machine(hw::Isa::avx512_vnni, 2, 384),
                              {.cache_length = 8192});
  const auto& experts = at(plan, "model.layers.60.mlp.experts");
  const uint64_t expert_weights = uint64_t{256} * 3 * 2048 * 7168;
  CHECK(experts.bytes == expert_weights / 64 * 34);
  CHECK(experts.bytes_per_token == experts.bytes / 32);
  CHECK(plan.weight_bytes() > 58 * experts.bytes);
}

TEST_CASE("the shipped rules files plan models with and without experts") {
  sample::DeepSeek dense;
  dense.dense = dense.layers;
  dense.experts = 0;
  for (const char* name : {"cpu.yaml", "cpu-int8.yaml", "cpu-int4.yaml"}) {
    INFO(name);
    const auto rules = read_rules(std::filesystem::path(KTX_SOURCE_DIR) / "optimize_rules" / name);
    for (const auto& shape : {sample::DeepSeek{}, dense})
      for (const auto isa : {hw::Isa::scalar, hw::Isa::avx2, hw::Isa::amx_int8})
        CHECK(make_plan(rules, sample::deepseek(shape), sample::machine(isa), {}).rules.size() ==
              1);
  }
  const auto on_gpu =
      read_rules(std::filesystem::path(KTX_SOURCE_DIR) / "optimize_rules/all-gpu.yaml");
  for (const auto& shape : {sample::DeepSeek{}, dense}) {
    const auto plan = make_plan(on_gpu, sample::deepseek(shape), sample::machine_with_gpus(1), {});
    CHECK(plan.find_device("cuda:0")->weights == plan.weight_bytes());
  }
  const auto hybrid =
      read_rules(std::filesystem::path(KTX_SOURCE_DIR) / "optimize_rules/hybrid.yaml");
  CHECK(make_plan(hybrid, sample::deepseek(), sample::machine_with_gpus(1), {}).streams());
  const auto mine = read_rules(std::filesystem::path(KTX_SOURCE_DIR) / "examples/my-box.yaml");
  CHECK(make_plan(mine, sample::deepseek(), sample::machine(), {}).rules.size() == 3);
  for (const auto& rules : {hybrid, mine}) {
    const auto plan = make_plan(rules, sample::deepseek(dense), sample::machine_with_gpus(1), {});
    CHECK(plan.rules.front().modules == 0);
    CHECK(plan.rules.back().modules > 0);
  }
}
