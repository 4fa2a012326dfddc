// Sizes, norms, MLPs, experts and head that all architectures share.
#include "model/model_builder.hpp"

#include "catch.hpp"
#include "fake.hpp"

using namespace ktx;
using namespace ktx::model;
using test::error_of;
using test::Fake;
using test::fixture;
using test::module_of;
using test::node_of;

namespace {

std::string error_with(const char* key, Json value, const char* name = "mixtral") {
  Fake fake = fixture(name);
  fake.config[key] = std::move(value);
  return error_of([&] { fake.build(); });
}

}  // namespace

TEST_CASE("what is known of a model") {
  const graph::ModelInfo info = fixture("mixtral").build().info;
  CHECK(info.architecture == "mixtral");
  CHECK(info.layers == 2);
  CHECK(info.hidden == 128);
  CHECK(info.vocab == 256);
  CHECK(info.context == 2048);
  CHECK(info.experts == 8);
  CHECK(info.experts_per_token == 2);
  CHECK(info.moe_layers == std::vector<int>{0, 1});
  CHECK(info.caches == std::vector<graph::KvRow>(2, {.scaled = 128, .group = 32}));
  CHECK(test::deepseek2(true).build().info.name == "Tiny");
}

TEST_CASE("classes of modules, their own first") {
  const graph::Model model = fixture("qwen2-moe").build();
  const auto classes = [&](const char* path) { return module_of(model, path)->classes; };
  using Names = std::vector<std::string>;
  CHECK(classes("model.embed_tokens") == Names{"embedding"});
  CHECK(classes("lm_head") == Names{"head", "linear"});
  CHECK(classes("model.norm") == Names{"norm"});
  CHECK(classes("model.layers.1.mlp.gate") == Names{"moe.router", "moe"});
  CHECK(classes("model.layers.1.mlp.experts") == Names{"moe.experts", "moe"});
  CHECK(classes("model.layers.1.mlp.shared_expert.up_proj") ==
        Names{"linear", "mlp.shared", "mlp", "moe"});
  for (const graph::Module& module : model.modules) {
    for (const std::string& name : module.classes) {
      bool known = false;
      for (const graph::ClassInfo& row : graph::classes()) known = known || row.name == name;
      CHECK(known);
    }
  }
}

TEST_CASE("tied embeddings") {
  Fake fake = fixture("llama");
  const auto head = [&] { return module_of(fake.build(), "lm_head")->weights[0].pieces[0].tensor; };
  CHECK(head() == "lm_head.weight");
  fake.config["tie_word_embeddings"] = true;
  CHECK(head() == "model.embed_tokens.weight");
  fake.remove("lm_head.weight");
  fake.config.erase("tie_word_embeddings");
  CHECK(error_of([&] {
          fake.build();
        }).find("config.json: tensor 'lm_head.weight' is not in the checkpoint") == 0);

  test::FakeGguf llama = test::gqa_gguf("llama");  // GGUF files don't say it
  llama.mlp(0, "", 96, 64);
  llama.remove("output.weight");
  CHECK(module_of(llama.build(), "lm_head")->weights[0].pieces[0].tensor == "token_embd.weight");
  test::FakeGguf deepseek = test::deepseek2(true);  // of which no published model has it
  deepseek.remove("output.weight");
  CHECK(error_of([&] {
          deepseek.build();
        }).find("model.gguf: tensor 'output.weight' is not in the checkpoint") == 0);
}

TEST_CASE("the vocabulary of a GGUF file is its embedding's") {
  test::FakeGguf f = test::deepseek2(true);
  f.key("vocab_size", 4000);
  CHECK(f.build().info.vocab == 4096);
  f.remove("token_embd.weight");
  CHECK(error_of([&] {
          f.build();
        }).find("model.gguf: tensor 'token_embd.weight' is not in the checkpoint") == 0);
}

TEST_CASE("impossible hyper-parameters") {
  CHECK(error_with("hidden_act", "gelu") ==
        "config.json: 'hidden_act' must be \"silu\", found \"gelu\"");
  CHECK(error_with("num_experts_per_tok", 9) ==
        "config.json: 'num_experts_per_tok' must be at most the 8 experts that a token may choose "
        "from, found 9");
  CHECK(error_with("num_experts_per_tok", 0) ==
        "config.json: 'num_experts_per_tok' must be a whole number from 1 to 4096, found 0");
  CHECK(
      error_with("num_hidden_layers", 3)
          .find(
              "config.json: tensor 'model.layers.2.input_layernorm.weight' is not in the checkpoint"
              "\n  note: nearest tensors: model.layers.") == 0);
  CHECK(error_with("hidden_size", 144) ==
        "config.json: tensor 'model.embed_tokens.weight' must have the shape [256, 144] by the "
        "configuration, found [256, 128]");
  CHECK(error_with("intermediate_size", 512) ==
        "config.json: tensor 'model.layers.0.block_sparse_moe.experts.0.w1.weight' must have the "
        "shape [512, 128] by the configuration, found [256, 128]");
  // The largest counts that are accepted at all don't overflow.
  CHECK(error_with("n_shared_experts", 4096, "kimi-k2").find("shape [524288, 128]") !=
        std::string::npos);
}
