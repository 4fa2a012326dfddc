// Llama.
#include "catch.hpp"
#include "fake.hpp"

using namespace ktx;
using namespace ktx::model;
using test::Fake;
using test::fixture;
using test::golden;
using test::gqa_gguf;
using test::module_of;

TEST_CASE("graph of a Llama checkpoint") {
  REQUIRE(graph::print(fixture("llama").build()) == golden("llama"));
}

TEST_CASE("biases of the MLP") {
  Fake fake = fixture("llama");
  fake.config["mlp_bias"] = true;
  for (const char* layer : {"0", "1"}) {
    const std::string mlp = "model.layers." + std::string(layer) + ".mlp.";
    fake.add(mlp + "gate_proj.bias", {256});
    fake.add(mlp + "up_proj.bias", {256});
    fake.add(mlp + "down_proj.bias", {128});
  }
  CHECK(module_of(fake.build(), "model.layers.1.mlp.down_proj")->find("bias")->cols == 128);
}

TEST_CASE("a GGUF file without a head shares the embedding") {
  test::FakeGguf f = gqa_gguf("llama");
  f.mlp(0, "", 96, 64);
  f.remove("output.weight");
  const graph::Model model = f.build();
  CHECK(model.info.architecture == "llama");
  CHECK(model.info.experts == 0);
  CHECK(module_of(model, "lm_head")->weights[0].pieces[0].tensor == "token_embd.weight");
}
