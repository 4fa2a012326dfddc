// Grouped-query attention: sizes, biases, rotation.
#include "model/gqa.hpp"

#include <cmath>

#include "catch.hpp"
#include "fake.hpp"

using namespace ktx;
using namespace ktx::model;
using test::error_of;
using test::Fake;
using test::fixture;
using test::gqa_gguf;
using test::module_of;
using test::node_of;

namespace {

const graph::GqaParams& gqa(const graph::Model& model) {
  return std::get<graph::GqaParams>(node_of(model, "model.layers.0.self_attn")->params);
}

test::FakeGguf llama() {
  test::FakeGguf f = gqa_gguf("llama");
  f.mlp(0, "", 96, 64);
  return f;
}

}  // namespace

TEST_CASE("sizes from Hugging Face") {
  Fake fake = fixture("llama");
  const graph::Model model = fake.build();
  const graph::GqaParams& p = gqa(model);
  CHECK(p.heads == 4);
  CHECK(p.kv_heads == 2);
  CHECK(p.head == 32);
  CHECK(p.scale == Approx(1 / std::sqrt(32.0)));
  CHECK_FALSE(p.rotary.interleaved);
  CHECK(p.rotary.frequency.size() == 16);
  fake.config.erase("head_dim");
  CHECK(gqa(fake.build()).head == 32);
}

TEST_CASE("biases: a flag in Hugging Face, the tensors in GGUF") {
  Fake hf = fixture("llama");
  hf.config["attention_bias"] = true;
  CHECK(error_of([&] { hf.build(); })
            .find("config.json: tensor 'model.layers.0.self_attn.q_proj.bias' is not in the "
                  "checkpoint") == 0);
  test::FakeGguf gguf = llama();
  CHECK(module_of(gguf.build(), "model.layers.0.self_attn.k_proj")->weights.size() == 1);
  gguf.add("blk.0.attn_k.bias", {32});
  CHECK(module_of(gguf.build(), "model.layers.0.self_attn.k_proj")->find("bias")->cols == 32);
}

TEST_CASE("Llama's GGUF files rotate pairs") {
  test::FakeGguf f = llama();
  CHECK(gqa(f.build()).rotary.interleaved);
  CHECK(gqa(f.build()).rotary.frequency.size() == 8);
  f.key("rope.dimension_count", 8);
  CHECK(gqa(f.build()).rotary.frequency.size() == 4);
}

TEST_CASE("rotary factors in a tensor divide the frequencies") {
  test::FakeGguf f = llama();
  const std::vector<float> plain = gqa(f.build()).rotary.frequency;
  f.add("rope_freqs.weight", {8});
  f.values["rope_freqs.weight"] = {1, 1, 1, 2, 4, 8, 8, 8};
  const std::vector<float> divided = gqa(f.build()).rotary.frequency;
  for (size_t i = 0; i < plain.size(); ++i) {
    CHECK(divided[i] == plain[i] / f.values["rope_freqs.weight"][i]);
  }
  f.values["rope_freqs.weight"][2] = 0;
  CHECK(error_of([&] { f.build(); }) ==
        "model.gguf: tensor 'rope_freqs.weight' must hold positive numbers, found 0.000000 at 2");
}

TEST_CASE("heads that don't fit") {
  const auto error = [](const char* key, int value) {
    test::FakeGguf f = llama();
    f.key(key, value);
    return error_of([&] { f.build(); });
  };
  CHECK(error("attention.head_count_kv", 3) ==
        "model.gguf: 'llama.attention.head_count_kv' must divide the number of heads 4, found 3");
  CHECK(error("attention.value_length", 8) ==
        "model.gguf: 'llama.attention.value_length' must equal the key length 16, found 8");
  CHECK(error("attention.key_length", 15) ==
        "model.gguf: 'llama.attention.key_length' must be even, found 15");
  CHECK(error("rope.dimension_count", 18) ==
        "model.gguf: 'llama.rope.dimension_count' must be even and at most the key length 16, "
        "found 18");
  CHECK(error("attention.key_length", 32) ==
        "model.gguf: tensor 'blk.0.attn_q.weight' must have the shape [128, 64] by the "
        "configuration, found [64, 64]");
}
