// DeepSeek-V2 and V3: routers, layers with experts, multi-token-prediction layers, whole graphs.
#include <cstdlib>
#include <filesystem>

#include "catch.hpp"
#include "fake.hpp"
#include "ktx/log.hpp"

using namespace ktx;
using namespace ktx::model;
using test::deepseek2;
using test::error_of;
using test::Fake;
using test::fixture;
using test::golden;
using test::module_of;
using test::node_of;

namespace {

graph::RouterParams router(const graph::Model& model) {
  return std::get<graph::RouterParams>(node_of(model, "model.layers.1.mlp.gate")->params);
}

std::string error_with(const char* name, const char* key, Json value) {
  Fake fake = fixture(name);
  fake.config[key] = std::move(value);
  return error_of([&] { fake.build(); });
}

}  // namespace

TEST_CASE("graphs of DeepSeek checkpoints") {
  for (const char* name : {"deepseek-v2-lite", "deepseek-v3-fp8", "kimi-k2"}) {
    INFO(name);
    REQUIRE(graph::print(fixture(name).build()) == golden(name));
  }
  REQUIRE(graph::print(deepseek2(true).build()) == golden("deepseek2-gguf"));
  REQUIRE(graph::print(deepseek2(false).build()) == golden("deepseek2-kvb-gguf"));
}

TEST_CASE("V3's router") {
  const graph::RouterParams r = router(deepseek2(true).build());
  CHECK(r.sigmoid);
  CHECK(r.normalize);
  CHECK(r.group_by_top2);
  CHECK(r.groups == 8);
  CHECK(r.top_groups == 4);
  CHECK(r.top_k == 8);
  CHECK(r.scale == 2.5f);
  const graph::Model kimi = fixture("kimi-k2").build();
  CHECK(module_of(kimi, "model.layers.1.mlp.gate")->find("bias")->cols == 8);
}

TEST_CASE("V2's router: greedy, or limited to the groups of the best experts") {
  Fake fake = fixture("deepseek-v2-lite");
  fake.config["n_group"] = 4;
  fake.config["topk_group"] = 2;
  fake.config["routed_scaling_factor"] = 16.0;
  CHECK(router(fake.build()).groups == 1);
  fake.config["topk_method"] = "group_limited_greedy";
  const graph::RouterParams r = router(fake.build());
  CHECK(r.groups == 4);
  CHECK(r.top_groups == 2);
  CHECK_FALSE(r.sigmoid);
  CHECK_FALSE(r.group_by_top2);
  CHECK_FALSE(r.normalize);
  CHECK(r.scale == 16);
  CHECK(module_of(fake.build(), "model.layers.1.mlp.gate")->find("bias") == nullptr);
  fake.config["norm_topk_prob"] = true;
  CHECK(router(fake.build()).normalize);
  CHECK(router(fake.build()).scale == 1);
}

TEST_CASE("GGUF files without group keys have one group") {
  test::FakeGguf f = deepseek2(true);
  f.config.erase("deepseek2.expert_group_count");
  f.config.erase("deepseek2.expert_group_used_count");
  CHECK(router(f.build()).groups == 1);
  f.config.erase("deepseek2.expert_gating_func");
  CHECK(f.build().info.architecture == "deepseek_v3");
  f.remove("blk.1.exp_probs_b.bias");
  CHECK(f.build().info.architecture == "deepseek_v2");
}

TEST_CASE("layers with experts") {
  Fake fake = fixture("kimi-k2");
  CHECK(fake.build().info.moe_layers == std::vector<int>{1});
  fake.config["first_k_dense_replace"] = 0;
  fake.config["moe_layer_freq"] = 2;
  CHECK(error_of([&] {
          fake.build();
        }).find("config.json: tensor 'model.layers.0.mlp.gate.weight' is not in the checkpoint") ==
        0);
  fake = fixture("kimi-k2");
  fake.config["n_shared_experts"] = nullptr;  // the tensors say how many columns there are
  CHECK(module_of(fake.build(), "model.layers.1.mlp.shared_experts.up_proj")->weights[0].rows ==
        256);
  for (const char* name : {"gate", "up", "down"}) {
    fake.remove("model.layers.1.mlp.shared_experts." + std::string(name) + "_proj.weight");
  }
  CHECK(module_of(fake.build(), "model.layers.1.mlp.shared_experts.up_proj") == nullptr);
}

TEST_CASE("what old GGUF files leave out follows from their tensors") {
  for (const bool new_layout : {true, false}) {
    test::FakeGguf f = deepseek2(new_layout);
    const std::string whole = graph::print(f.build());
    for (const char* key :
         {"leading_dense_block_count", "expert_shared_count", "expert_feed_forward_length",
          "attention.q_lora_rank", "attention.kv_lora_rank"}) {
      f.config.erase("deepseek2." + std::string(key));
    }
    if (!new_layout) {
      f.config.erase("deepseek2.attention.key_length");
      f.config.erase("deepseek2.attention.value_length");
    }
    f.key("expert_gating_func", 0);
    f.key("feed_forward_length", {1024, 0});
    f.key("attention.head_count", {4, 4});
    CHECK(graph::print(f.build()) == whole);
  }
  test::FakeGguf f = deepseek2(true);
  f.key("attention.head_count", {4, 8});
  CHECK(error_of([&] { f.build(); }) ==
        "model.gguf: 'deepseek2.attention.head_count' must be the same in all layers that have "
        "any, found 4 and 8");
  f = deepseek2(true);
  f.config.erase("deepseek2.expert_weights_scale");
  CHECK(error_of([&] {
          f.build();
        }).find("model.gguf: 'deepseek2.expert_weights_scale' is missing") == 0);
}

TEST_CASE("groups that a file leaves out are those of the published model of its size, and said") {
  Fake fake = fixture("kimi-k2");
  fake.config["n_routed_experts"] = 256;
  fake.config["num_experts_per_tok"] = 8;
  fake.config["n_group"] = nullptr;
  std::vector<std::string> said;
  set_log_sink([&](LogLevel, std::string_view text) { said.emplace_back(text); });
  const std::string error = error_of([&] { fake.build(); });  // its tensors are of 8 experts
  set_log_sink({});
  CHECK(error.find("must have the shape [256, 128]") != std::string::npos);
  REQUIRE(said.size() == 1);
  CHECK(said[0] ==
        "config.json: 'n_group' is missing: 8 groups are taken, of which a token sees 4, as "
        "DeepSeek-V3 has them");
}

TEST_CASE("multi-token-prediction layers are named and not run") {
  Fake hf = fixture("kimi-k2");
  hf.add("model.layers.2.eh_proj.weight", {128, 256}, quant::Format::bf16);
  hf.add("model.layers.2.enorm.weight", {128}, quant::Format::bf16);
  const graph::Model model = hf.build();
  const graph::Module& mtp = *module_of(model, "model.layers.2");
  CHECK(mtp.classes == std::vector<std::string>{"mtp"});
  CHECK(mtp.op.empty());
  CHECK(mtp.unused == "predicts further tokens, which ktx doesn't use");
  CHECK(mtp.find("eh_proj.weight")->weights() == 128 * 256);
  CHECK(mtp.weights.size() == 2);

  test::FakeGguf gguf = deepseek2(true);  // the extra layer counts as a block
  gguf.key("block_count", 3);
  gguf.key("nextn_predict_layers", 1);
  gguf.norm(2, "attn_norm", 256);
  gguf.block(2, "nextn.eh_proj", {256, 512});
  CHECK(gguf.build().info.layers == 2);
  CHECK(module_of(gguf.build(), "model.layers.2")->weights.size() == 2);
  gguf.remove("blk.2.attn_norm.weight");  // counted, but left out of the file
  gguf.remove("blk.2.nextn.eh_proj.weight");
  CHECK(gguf.build().info.layers == 2);
  CHECK(module_of(gguf.build(), "model.layers.2") == nullptr);
  gguf.key("block_count", 2);  // announced, not counted
  CHECK(gguf.build().info.layers == 2);
}

TEST_CASE("impossible routers") {
  CHECK(error_with("kimi-k2", "scoring_func", "softmax") ==
        "config.json: 'scoring_func' must be \"sigmoid\", found \"softmax\"");
  CHECK(error_with("kimi-k2", "topk_method", "greedy") ==
        "config.json: 'topk_method' must be \"noaux_tc\", found \"greedy\"");
  CHECK(error_with("deepseek-v2-lite", "topk_method", "noaux_tc") ==
        "config.json: 'topk_method' must be \"greedy\" or \"group_limited_greedy\", found "
        "\"noaux_tc\"");
  CHECK(error_with("kimi-k2", "n_group", 3) ==
        "config.json: 'n_group' must divide the 8 experts, found 3");
  CHECK(error_with("kimi-k2", "topk_group", 2) ==
        "config.json: 'topk_group' must be at most the 1 groups, found 2");
  CHECK(error_with("kimi-k2", "n_group", 8) ==
        "config.json: 'n_group' must leave two experts or more per group, found 8 groups of 8 "
        "experts\n"
        "  note: so many groups take 16 experts or more");
  CHECK(error_with("kimi-k2", "n_group", 1025) ==
        "config.json: 'n_group' must be at most 1024, found 1025");
  const auto with_experts_per_token = [](int count) {
    Fake fake = fixture("kimi-k2");
    fake.config["n_routed_experts"] = 2048;
    fake.config["num_experts_per_tok"] = count;
    return error_of([&] { fake.build(); });
  };
  CHECK(with_experts_per_token(1025) ==
        "config.json: 'num_experts_per_tok' must be at most 1024, found 1025");
  CHECK(with_experts_per_token(1024).find("num_experts_per_tok") == std::string::npos);
  CHECK(error_with("kimi-k2", "n_group", 4) ==
        "config.json: 'num_experts_per_tok' must be at most the 2 experts that a token may choose "
        "from (1 of 4 groups of 2), found 4");
}

TEST_CASE("the reference checkpoints that are too large for the repository") {
  const char* shared = std::getenv("KTX_SHARED");
  const std::filesystem::path root =
      shared != nullptr ? shared : std::string(KTX_SOURCE_DIR) + "/../shared";
  if (!std::filesystem::exists(root / "reference/arch/deepseek-v2"))
    SKIP("no reference data at " << root.string() << " (set KTX_SHARED)");
  const graph::RouterParams v2 =
      router(test::directory(root / "reference/arch/deepseek-v2").build());
  CHECK(v2.groups == 4);
  CHECK(v2.scale == 16);
  const graph::Model tiny = test::directory(root / "models/tiny-v3").build();
  CHECK(tiny.info.layers == 4);
  CHECK(tiny.info.moe_layers == std::vector<int>{1, 2, 3});
  int64_t mtp = 0;
  for (const graph::Weight& w : module_of(tiny, "model.layers.4")->weights) mtp += w.weights();
  CHECK(mtp == 7694368);
}
