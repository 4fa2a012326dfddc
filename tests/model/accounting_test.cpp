// Every tensor and key has its use, is known to need none, or is named.
#include "model/accounting.hpp"

#include "catch.hpp"
#include "fake.hpp"
#include "ktx/log.hpp"

using namespace ktx;
using namespace ktx::model;
using test::deepseek2;
using test::error_of;
using test::Fake;
using test::fixture;
using test::module_of;

namespace {

std::string error_with(const std::string& tensor, std::vector<int64_t> shape) {
  Fake f = deepseek2(true);
  f.add(tensor, std::move(shape));
  return error_of([&] { f.build(); });
}

const std::string not_supported =
    " is not supported in deepseek_v3 models: ignoring it would change the answers";
const std::string hint = "\n  note: --ignore-unused runs the model without it";

}  // namespace

TEST_CASE("tensors that no module takes are named") {
  for (const char* name :
       {"blk.1.ffn_gate_exps.bias", "blk.1.attn_sinks.weight", "blk.1.ffn_gate_inp_shexp.weight",
        "output.bias", "blk.1.post_attention_norm.weight", "blk.0.indexer.attn_q_b.weight",
        "blk.1.ffn_gate_exps.scale", "output_norm.bias", "rope_freqs.weight"}) {
    CHECK(error_with(name, {4}) ==
          "model.gguf: tensor '" + std::string(name) + "'" + not_supported + hint);
  }
}

TEST_CASE("a tensor that can't be read needs a use like any other") {
  Fake f = deepseek2(true);
  f.unread = {"blk.1.attn_sinks.weight"};
  Source source = f.source();
  source.why_missing = [](std::string_view) { return "has a type that ktx doesn't read"; };
  CHECK(error_of([&] { build_model(source); }) ==
        "model.gguf: tensor 'blk.1.attn_sinks.weight' (has a type that ktx doesn't read)" +
            not_supported + hint);
}

TEST_CASE("all that has no use is in one message; --ignore-unused makes it a warning") {
  test::FakeGguf f = deepseek2(true);
  f.key("attn_logit_softcapping", 5.0);
  for (int i = 0; i < 10; ++i) f.add("blk.0.extra." + std::to_string(i), {4});
  const std::string error = error_of([&] { f.build(); });
  CHECK(error.starts_with("model.gguf: tensor 'blk.0.extra.0'" + not_supported));
  CHECK(error.find("tensor 'blk.0.extra.7', 3 more") != std::string::npos);

  f.ignore_unused = true;
  std::vector<std::string> said;
  set_log_sink([&](LogLevel, std::string_view text) { said.emplace_back(text); });
  CHECK(error_of([&] { f.build(); }).empty());
  set_log_sink({});
  REQUIRE(said.size() == 1);
  CHECK(said[0].find("tensor 'blk.0.extra.0'") != std::string::npos);
}

TEST_CASE("keys that nothing reads are named unless they are known to be harmless") {
  const auto error_of_key = [](const char* key, Json value) {
    test::FakeGguf f = deepseek2(true);
    f.key(key, std::move(value));
    return error_of([&] { f.build(); });
  };
  CHECK(error_of_key("attn_logit_softcapping", 5.0) ==
        "model.gguf: 'deepseek2.attn_logit_softcapping' = 5.0" + not_supported + hint);
  CHECK(error_of_key("attention.sliding_window", 4).find("sliding_window' = 4") !=
        std::string::npos);
  CHECK(error_of_key("rope.scaling.attn_factor", 0.5).find("attn_factor") != std::string::npos);
  CHECK(error_of_key("rope.scaling.attn_factor", 1.0).empty());
  CHECK(error_of_key("attn_logit_softcapping", 0.0).empty());

  Fake f = fixture("deepseek-v2-lite");
  f.config["rope_parameters"]["long_factor"] = {1.0, 2.0};
  CHECK(error_of([&] { f.build(); }).find("'rope_parameters.long_factor' = [1.0,2.0]") !=
        std::string::npos);
  f = fixture("llama");
  f.config["sliding_window"] = 4096;
  CHECK(error_of([&] { f.build(); }).find("'sliding_window' = 4096") != std::string::npos);
}

TEST_CASE("what other tensors or the configuration replace is no loss") {
  Fake both = deepseek2(true);
  both.add("blk.0.attn_kv_b.weight", {1024, 512});
  CHECK(error_of([&] { both.build(); }).empty());

  Fake tied = fixture("llama");
  tied.config["tie_word_embeddings"] = true;
  CHECK(error_of([&] { tied.build(); }).empty());

  Fake old = fixture("llama");
  old.add("model.layers.0.self_attn.rotary_emb.inv_freq", {16});
  CHECK(error_of([&] { old.build(); }).empty());
}

TEST_CASE("a language model within a larger one: other parts are modules that are not run") {
  for (const Renaming& renaming :
       {Renaming{"", "language_model."}, Renaming{"model.", "model.language_model."}}) {
    Fake f = fixture("kimi-k2");
    f.config = {
        {"model_type", "kimi_k25"}, {"text_config", f.config}, {"vision_config", {{"x", 1}}}};
    for (auto& tensor : f.tensors) {
      if (tensor.name.starts_with(renaming.from))
        tensor.name = renaming.to + tensor.name.substr(renaming.from.size());
    }
    f.add("vision_tower.a.weight", {4, 4});
    f.add("vision_tower.b.weight", {4});
    const graph::Model model = f.build();
    const graph::Module& tower = *module_of(model, "vision_tower");
    CHECK(tower.unused == "vision or audio; ktx runs only the language model");
    CHECK(tower.weights.size() == 2);
    CHECK(model.info.architecture == "deepseek_v3");
    CHECK(model.graph.nodes.size() == fixture("kimi-k2").build().graph.nodes.size());
  }
}

TEST_CASE("tensors outside of the model are no part of it, and said") {
  Fake f = fixture("llama");
  f.add("score.weight", {2, 128});
  std::vector<std::string> said;
  set_log_sink([&](LogLevel, std::string_view text) { said.emplace_back(text); });
  const graph::Model model = f.build();
  set_log_sink({});
  CHECK(module_of(model, "score")->unused == "no part of the model");
  REQUIRE(said.size() == 1);
  CHECK(
      said[0] ==
      "config.json: not read, because they are not part of a llama model: tensors 'score.weight'");
}

TEST_CASE("parts outside of the model that are too many have one name") {
  Fake f = fixture("llama");
  const size_t own = f.build().modules.size();
  for (int i = 0; i < 3000; ++i) f.add("part" + std::to_string(i) + ".weight", {4});
  const graph::Model model = f.build();
  CHECK(model.modules.size() == own + 1025);
  REQUIRE(module_of(model, "others") != nullptr);
  CHECK(module_of(model, "others")->weights.size() == 3000 - 1024);
}
