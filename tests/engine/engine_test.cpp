// Whole models against the logits, greedy texts and perplexities of Hugging Face transformers.
#include <algorithm>

#include "catch.hpp"
#include "core/base/file.hpp"
#include "core/hw/isa.hpp"
#include "engine/access.hpp"
#include "ktx/session.hpp"
#include "ops/matmul/matmul.hpp"
#include "placement/plan.hpp"
#include "support/ktx_isa.hpp"
#include "support/own_file.hpp"
#include "support/reference.hpp"
#include "support/temp_dir.hpp"

using namespace ktx;
namespace fs = std::filesystem;

namespace {

PlanOptions options(const fs::path& model, const char* rules = "cpu.yaml") {
  return {.model = model,
          .rules = test::source_dir / "optimize_rules" / rules,
          .threads = 2,
          .cache_format = "f32"};
}

std::vector<float> logits(Engine& engine, const std::vector<int32_t>& ids) {
  Session session(engine);
  std::vector<float> out;
  session.evaluate(ids, [&](int64_t, int64_t rows, const float* numbers) {
    out.insert(out.end(), numbers, numbers + rows * engine.vocab_size());
  });
  return out;
}

/// Prompts on tiles are rounded to bf16. Compared with float32 they run without: in small
/// random models rounding can send a token to another expert.
const char* without_tiles() {
  return hw::usable_isa() >= hw::Isa::avx512_bf16 ? "avx512_vnni" : nullptr;
}

void check_architecture(const fs::path& folder) {
  INFO(folder.filename().string());
  const test::KtxIsa isa(without_tiles());
  Engine engine(make_plan(options(folder)));
  const test::Reference reference(folder / "reference.safetensors");
  for (const std::string prompt : {"0", "1"}) {
    const auto got = logits(engine, reference.get<int32_t>(prompt + ".ids"));
    CHECK(test::relative_error(got, reference.get<float>(prompt + ".logits")) < 1e-4);
  }
}

// A machine of other NUMA nodes than this box's, with its instruction set.
fs::path machine_file(const std::string& nodes) {
  const auto file = test::own_file("engine_test_machine.yaml");
  base::write_file(file,
                   "isa: " + std::string(hw::name(hw::usable_isa())) + "\nnodes: " + nodes + "\n");
  return file;
}

// Of all modules, but of shared experts where another policy is given for them.
fs::path numa_rules(const std::string& policy, const std::string& of_shared_experts = "") {
  const auto rule = [](const std::string& match, const std::string& numa) {
    return "  - {name: '" + match + "', match: {name: '" + match + "'}, place: {" +
           (numa.empty() ? "" : "numa: '" + numa + "'") + "}}\n";
  };
  const auto file = test::own_file("engine_test_numa.yaml");
  base::write_file(
      file, "ktx: 1\nrules:\n" +
                (of_shared_experts.empty() ? "" : rule("shared_experts", of_shared_experts)) +
                rule(".*", policy));
  return file;
}

// A model whose experts' matrices are cut over nodes, gate and up over two and down over four. With
// 3 experts a token a worker takes an odd number of groups of down's rows.
const char* const wide_model =
    "synth:deepseek-v3,mix=q4_k_m,dense=1,moe=1,experts=32,num_experts_per_tok=3,hidden_size=1024,"
    "intermediate_size=1024,moe_intermediate_size=512,num_attention_heads=4,num_key_value_heads=4,"
    "q_lora_rank=256,kv_lora_rank=256,qk_nope_head_dim=64,qk_rope_head_dim=32,v_head_dim=64,"
    "vocab_size=600";

// The first place where the reference's choice is too close to call, or the end.
size_t decided(const Json& prompt) {
  const auto& margins = prompt.at("margin");
  size_t n = 0;
  while (n < margins.size() && margins[n].get<double>() >= 1e-3) ++n;
  return n;
}

}  // namespace

TEST_CASE("every architecture's logits match transformers") {
  size_t count = 0;
  for (const auto& entry : fs::directory_iterator(test::data_dir / "arch")) {
    check_architecture(entry.path());
    ++count;
  }
  CHECK(count >= 7);
}

TEST_CASE("published quantizations give the logits of their exact weights") {
  // The scalar level computes in f32 from whatever is stored; tests/data/quantized/make.py wrote
  // the files and the logits.
  const test::KtxIsa isa("scalar");
  size_t count = 0;
  for (const auto& entry : fs::directory_iterator(test::data_dir / "quantized")) {
    if (!entry.is_directory()) continue;
    INFO(entry.path().filename().string());
    Engine engine(make_plan(options(entry.path())));
    const test::Reference reference(entry.path() / "reference.safetensors");
    const auto got = logits(engine, reference.get<int32_t>("0.ids"));
    CHECK(test::relative_error(got, reference.get<float>("0.logits")) < 1e-4);
    ++count;
  }
  CHECK(count >= 6);
}

TEST_CASE("Kimi-K2's experts keep their bits") {
  const auto plan = make_plan(options(test::data_dir / "quantized/kimi-int4"));
  const auto& model = engine::Access::details(plan).model;
  size_t count = 0;
  for (const auto& planned : engine::Access::details(plan).modules) {
    if (model.modules[static_cast<size_t>(planned.module)].op != "moe") continue;
    for (const auto& weight : planned.weights) CHECK(weight.format == quant::Format::int4_32);
    ++count;
  }
  CHECK(count == 1);
}

TEST_CASE("deepseek-v2 with groups and q_lora matches transformers") {
  const auto shared = test::shared_dir();
  if (!shared) SKIP("reference/arch/deepseek-v2 (7 MB) is not in the repository; set KTX_SHARED");
  check_architecture(*shared / "reference/arch/deepseek-v2");
}

TEST_CASE("a step in chunks and token by token gives the logits of one step") {
  const fs::path folder = test::data_dir / "arch/kimi-k2";
  const test::KtxIsa isa(without_tiles());
  Engine engine(make_plan(options(folder)));
  const auto ids = test::Reference(folder / "reference.safetensors").get<int32_t>("0.ids");
  const auto whole = logits(engine, ids);
  Session session(engine);
  std::vector<float> steps;
  const auto collect = [&](int64_t, int64_t rows, const float* numbers) {
    steps.insert(steps.end(), numbers, numbers + rows * engine.vocab_size());
  };
  session.evaluate({ids.data(), 7}, collect);
  for (size_t i = 7; i < ids.size(); ++i) session.evaluate({&ids[i], 1}, collect);
  CHECK(test::relative_error(steps, whole) < 1e-5);
}

TEST_CASE("tiny-v3 in BF16 gives transformers' logits and greedy text") {
  const auto shared = test::shared_dir();
  if (!shared) SKIP("models/tiny-v3 in BF16 (69 MB) is not in the repository; set KTX_SHARED");
  const test::KtxIsa isa(without_tiles());
  Engine engine(make_plan(options(*shared / "models/tiny-v3")));
  const auto json = base::read_json(*shared / "reference/tiny-v3/reference.json");
  const test::Reference reference(*shared / "reference/tiny-v3/reference.safetensors");
  for (size_t p = 0; p < json.at("prompts").size(); ++p) {
    INFO("prompt " << p);
    const auto& prompt = json.at("prompts")[p];
    const auto ids = prompt.at("ids").get<std::vector<int32_t>>();
    const auto name = "prompt" + std::to_string(p) + ".logits";
    CHECK(test::relative_error(logits(engine, ids), reference.get<float>(name)) < 1e-4);

    Session session(engine);
    auto greedy = prompt.at("greedy").get<std::vector<int32_t>>();
    auto got = session.generate(ids, {.max_new_tokens = static_cast<int64_t>(greedy.size())}).ids;
    const size_t n = std::min(decided(prompt), greedy.size());
    got.resize(n);
    greedy.resize(n);
    CHECK(got == greedy);
  }
}

TEST_CASE("forcing an ISA level runs that level") {
  const auto plan = [](const char* isa) {
    const test::KtxIsa setting(isa);
    return make_plan(options(test::shipped_model));
  };
  const auto scalar = plan("scalar");
  for (const auto& module : engine::Access::details(scalar).modules) {
    CHECK(module.decode.name == "ref");
    CHECK(module.prefill.name == "ref");
  }
  const auto ids = std::vector<int32_t>{0, 417, 3072, 290};
  Engine slow(scalar), fast(make_plan(options(test::shipped_model)));
  // The fast kernels round activations to int8 in blocks of 32: a relative error of about
  // 1/254 * sqrt(1/3) * (a block's largest over its root mean square, about 2.5) = 0.6 % a product;
  // after 4 layers of residual sums 2 % of the logits is a mistake.
  CHECK(test::relative_error(logits(fast, ids), logits(slow, ids)) < 0.02);
}

TEST_CASE("on machines of several NUMA nodes the logits are those of one, under every policy") {
  const std::vector<int32_t> ids{0, 417, 302, 290, 17, 5, 99, 104, 7, 3, 12, 540};
  // Of a prompt, and of steps of few rows, where the shared expert goes with the others.
  const auto logits_of_steps = [&ids](Engine& engine) {
    Session session(engine);
    std::vector<float> out;
    for (const auto& step : {std::span(ids), std::span(ids).first(1), std::span(ids).first(3)})
      session.evaluate(step, [&](int64_t, int64_t rows, const float* numbers) {
        out.insert(out.end(), numbers, numbers + rows * engine.vocab_size());
      });
    return out;
  };
  const auto plan = [](const std::string& policy, const std::string& of_shared_experts,
                       const std::string& nodes, int threads) {
    return make_plan({.model = wide_model,
                      .rules = numa_rules(policy, of_shared_experts),
                      .machine = machine_file(nodes),
                      .threads = threads,
                      .cache_length = 64,
                      .cache_format = "f32"});
  };
  const std::string one_node = "{count: 1, cores: 2, memory: 8GiB}";
  Engine one(plan("", "", one_node, 1));
  const auto expected = logits_of_steps(one);
  CHECK(one.load_report().memory.empty());
  const std::string four =
      "[{cores: 1, memory: 8GiB}, {cores: 3, memory: 8GiB}, "
      "{cores: 1, memory: 8GiB}, {cores: 2, memory: 8GiB}]";
  for (const auto& [nodes, threads] :
       {std::pair{one_node, 2}, std::pair{std::string("{count: 2, cores: 2, memory: 8GiB}"), 3},
        std::pair{four, 7}, std::pair{std::string("{count: 8, cores: 1, memory: 8GiB}"), 3}})
    for (const std::string policy : {"", "replicate", "shard", "interleave", "node:0"})
      for (const std::string of_shared_experts : {"", "shard"}) {
        INFO(nodes << ", " << threads << " threads, policy '" << policy << "', of shared experts '"
                   << of_shared_experts << "'");
        Engine engine(plan(policy, of_shared_experts, nodes, threads));
        CHECK(logits_of_steps(engine) == expected);
        CHECK(engine.load_report().weight_bytes ==
              engine::Access::details(engine.plan()).weight_bytes());
      }
}

TEST_CASE("the cache of packed weights serves several NUMA nodes") {
  const std::vector<int32_t> ids{0, 417, 3072, 290};
  const test::TempDir cache;
  Engine one(make_plan(options(test::shipped_model)));
  const auto expected = logits(one, ids);
  for (const std::string policy : {"interleave", "replicate", "shard"}) {
    const auto plan = make_plan({.model = test::shipped_model,
                                 .rules = numa_rules(policy),
                                 .machine = machine_file("{count: 2, cores: 2, memory: 8GiB}"),
                                 .threads = 3,
                                 .cache_format = "f32",
                                 .weights_cache = cache.path()});
    for (const bool again : {false, true}) {
      INFO(policy << (again ? ", from the cache" : ""));
      Engine engine(plan);
      CHECK(logits(engine, ids) == expected);
      // Copies are stored once, as what is interleaved: the two share their entries.
      CHECK((engine.load_report().cached_bytes > 0) == (again || policy == "replicate"));
      CHECK((engine.load_report().source_bytes == 0) == (again || policy == "replicate"));
      engine.finish_cache();
    }
  }
}

TEST_CASE("prompts through oneDNN give the logits of our own kernels") {
  const auto reason = ops::onednn_kernel().refusal(quant::Format::f32, 64, 64);
  if (!reason.empty() || hw::usable_isa() < hw::Isa::avx512_vnni)
    SKIP((reason.empty() ? "linear.onednn needs AVX-512 VNNI" : reason));
  const auto plan = [](const std::string& kernel, const std::string& format) {
    const auto file = test::own_file("engine_test_onednn.yaml");
    base::write_file(file,
                     "ktx: 1\nrules:\n  - {name: dense, match: {name: "
                     "'(q|q_a|q_b|kv_a|o)_proj|shared_experts|lm_head'}, place: {op: linear." +
                         kernel + ", format: " + format +
                         "}}\n  - {name: attention, match: {name: kv_b_proj}, place: {op: "
                         "mla.avx512, format: f32}}\n  - {name: rest, match: {name: '.*'}, place: "
                         "{format: f32}}\n");
    return make_plan({.model = test::shipped_model, .rules = file, .threads = 2});
  };
  std::vector<int32_t> ids;
  for (int32_t i = 0; i < 40; ++i) ids.push_back(i * 37 % 4096);
  // All else computes in float32: float32 sums in another order; int8 with a scale for 1,024
  // columns of a token instead of 32, where a product's error of about 1/254 * sqrt(1/3) * (largest
  // over root mean square: 2.5 in 32 columns, 4 in all) is 0.6 % and 0.9 %: of the logits, several
  // times that is a mistake.
  for (const auto& [format, allowed] : {std::pair{"f32", 1e-4}, std::pair{"int8", 0.05}}) {
    INFO(format);
    const auto by_onednn = plan("onednn", format);
    Engine fast(by_onednn), own(plan("avx512_vnni", format));
    CHECK(test::relative_error(logits(fast, ids), logits(own, ids)) < allowed);
    size_t count = 0;
    for (const auto& module : engine::Access::details(by_onednn).modules)
      count += module.prefill.name == "onednn";
    CHECK(count > 10);
  }
}
