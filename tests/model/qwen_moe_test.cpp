// Qwen2-MoE and Qwen3-MoE.
#include "catch.hpp"
#include "fake.hpp"

using namespace ktx;
using namespace ktx::model;
using test::error_of;
using test::Fake;
using test::fixture;
using test::golden;
using test::gqa_gguf;
using test::module_of;
using test::node_of;

namespace {

const graph::RouterParams& router(const graph::Model& model) {
  return std::get<graph::RouterParams>(node_of(model, "model.layers.0.mlp.gate")->params);
}

int window(const graph::Model& model, int layer) {
  const std::string path = "model.layers." + std::to_string(layer) + ".self_attn";
  return std::get<graph::GqaParams>(node_of(model, path)->params).window;
}

/// 4 experts of 32, 2 a token.
test::FakeGguf qwen(const char* architecture) {
  test::FakeGguf f = gqa_gguf(architecture);
  f.key("expert_count", 4);
  f.key("expert_used_count", 2);
  f.block(0, "ffn_gate_inp", {4, 64}, quant::Format::f32);
  f.mlp(0, "_exps", 32, 64, 4);
  return f;
}

}  // namespace

TEST_CASE("graphs of Qwen checkpoints") {
  REQUIRE(graph::print(fixture("qwen2-moe").build()) == golden("qwen2-moe"));
  REQUIRE(graph::print(fixture("qwen3-moe").build()) == golden("qwen3-moe"));
}

TEST_CASE("the router normalizes as the configuration says") {
  Fake fake = fixture("qwen2-moe");
  CHECK_FALSE(router(fake.build()).normalize);
  fake.config["norm_topk_prob"] = true;
  CHECK(router(fake.build()).normalize);
  CHECK(router(fixture("qwen3-moe").build()).normalize);
}

TEST_CASE("layers without experts") {
  for (const bool by_step : {false, true}) {
    Fake fake = fixture("qwen3-moe");
    if (by_step) {
      fake.config["decoder_sparse_step"] = 2;
    } else {
      fake.config["mlp_only_layers"] = {0};
    }
    for (const char* name : {"gate_proj", "up_proj"}) {
      fake.add("model.layers.0.mlp." + std::string(name) + ".weight", {256, 128});
    }
    fake.add("model.layers.0.mlp.down_proj.weight", {128, 256});
    fake.ignore_unused = true;  // the layer's experts
    const graph::Model model = fake.build();
    CHECK(model.info.moe_layers == std::vector<int>{1});
    CHECK(module_of(model, "model.layers.0.mlp.up_proj")->classes[1] == "mlp.dense");
  }
}

TEST_CASE("sliding windows") {
  Fake fake = fixture("qwen2-moe");
  CHECK(window(fake.build(), 0) == 0);
  fake.config["use_sliding_window"] = true;
  fake.config["sliding_window"] = 16;
  fake.config["layer_types"] = {"full_attention", "sliding_attention"};
  CHECK(window(fake.build(), 0) == 0);
  CHECK(window(fake.build(), 1) == 16);
  fake.config.erase("layer_types");
  CHECK(window(fake.build(), 0) == 16);
  CHECK(window(fake.build(), 1) == 0);
  fake.config["layer_types"] = {"full_attention"};
  CHECK(error_of([&] { fake.build(); }) ==
        "config.json: 'layer_types' must be a list of one name a layer");
  Fake three = fixture("qwen3-moe");
  three.config["use_sliding_window"] = true;
  three.config["sliding_window"] = 16;
  CHECK(window(three.build(), 1) == 16);
}

TEST_CASE("GGUF files of Qwen2-MoE, which may leave sizes out") {
  test::FakeGguf f = qwen("qwen2moe");
  f.block(0, "ffn_gate_inp_shexp", {64}, quant::Format::f32);
  f.mlp(0, "_shexp", 48, 64);
  for (const char* name : {"attn_q", "attn_k", "attn_v"}) {
    f.add("blk.0." + std::string(name) + ".bias", {std::string_view(name) == "attn_q" ? 64 : 32});
  }
  const graph::Model model = f.build();
  CHECK(module_of(model, "model.layers.0.mlp.experts")->find("gate")->rows == 32);
  CHECK(module_of(model, "model.layers.0.mlp.shared_expert.down_proj")->weights[0].cols == 48);
  CHECK(module_of(model, "model.layers.0.self_attn.q_proj")->find("bias") != nullptr);
  CHECK_FALSE(router(model).normalize);
  f.key("expert_feed_forward_length", 33);
  CHECK(error_of([&] { f.build(); }) ==
        "model.gguf: tensor 'blk.0.ffn_gate_exps.weight' must have the shape [4, 33, 64] by the "
        "configuration, found [4, 32, 64]");
}

TEST_CASE("GGUF files of Qwen3-MoE normalize and have norms over heads") {
  test::FakeGguf f = qwen("qwen3moe");
  f.norm(0, "attn_q_norm", 16);
  f.norm(0, "attn_k_norm", 16);
  const graph::Model model = f.build();
  CHECK(router(model).normalize);
  CHECK(module_of(model, "model.layers.0.self_attn.q_norm")->classes ==
        std::vector<std::string>{"norm", "attention.gqa", "attention"});
  f.remove("blk.0.attn_k_norm.weight");
  CHECK(error_of([&] {
          f.build();
        }).find("model.gguf: tensor 'blk.0.attn_k_norm.weight' is not in the checkpoint") == 0);
}
