// Mixtral.
#include "catch.hpp"
#include "fake.hpp"

using namespace ktx;
using namespace ktx::model;
using test::Fake;
using test::fixture;
using test::golden;
using test::gqa_gguf;
using test::module_of;
using test::node_of;

TEST_CASE("graph of a Mixtral checkpoint") {
  REQUIRE(graph::print(fixture("mixtral").build()) == golden("mixtral"));
}

TEST_CASE("sliding window") {
  Fake fake = fixture("mixtral");
  const auto window = [&] {
    return std::get<graph::GqaParams>(node_of(fake.build(), "model.layers.1.self_attn")->params)
        .window;
  };
  CHECK(window() == 0);
  fake.config["sliding_window"] = 4096;
  CHECK(window() == 4096);
}

TEST_CASE("GGUF files with experts in one tensor or one by one") {
  for (const bool stacked : {true, false}) {
    test::FakeGguf f = gqa_gguf("llama");
    f.key("expert_count", 4);
    f.key("expert_used_count", 2);
    f.block(0, "ffn_gate_inp", {4, 64}, quant::Format::f32);
    if (stacked) {
      f.mlp(0, "_exps", 96, 64, 4);
    } else {
      for (int e = 0; e < 4; ++e) f.mlp(0, "." + std::to_string(e), 96, 64);
    }
    const graph::Model model = f.build();
    CHECK(model.info.architecture == "mixtral");
    const graph::Weight& down = *module_of(model, "model.layers.0.mlp.experts")->find("down");
    CHECK(down.count == 4);
    CHECK(down.rows == 64);
    CHECK(down.pieces.size() == (stacked ? 1u : 4u));
    CHECK(
        std::get<graph::RouterParams>(node_of(model, "model.layers.0.mlp.gate")->params).normalize);
    CHECK(std::get<graph::GqaParams>(node_of(model, "model.layers.0.self_attn")->params)
              .rotary.interleaved);
  }
}
