// Latent attention: both checkpoint layouts become the same weights.
#include "model/mla.hpp"

#include <cmath>

#include "catch.hpp"
#include "fake.hpp"

using namespace ktx;
using namespace ktx::model;
using test::deepseek2;
using test::error_of;
using test::Fake;
using test::fixture;
using test::module_of;
using test::node_of;

namespace {

constexpr const char* kv_b = "model.layers.0.self_attn.kv_b_proj";

const graph::MlaParams& mla(const graph::Model& model) {
  return std::get<graph::MlaParams>(node_of(model, kv_b)->params);
}

}  // namespace

TEST_CASE("sizes and scale, from Hugging Face and from both GGUF layouts") {
  for (const bool new_layout : {true, false}) {
    const graph::Model model = deepseek2(new_layout).build();
    const graph::MlaParams& p = mla(model);
    CHECK(p.heads == 4);
    CHECK(p.nope == 128);
    CHECK(p.rope == 64);
    CHECK(p.v == 128);
    CHECK(p.kv_lora == 512);
    CHECK(p.rotary.interleaved);
    CHECK(p.scale == Approx(std::pow(1 + 0.1 * std::log(4.0), 2) / std::sqrt(192.0)));
    CHECK(model.info.caches == std::vector<graph::KvRow>(2, {512, 128, 64}));
  }
  const graph::Model lite = fixture("deepseek-v2-lite").build();
  CHECK(mla(lite).scale == Approx(std::pow(1 + 0.0707 * std::log(4.0), 2) / std::sqrt(64.0)));
  CHECK(mla(lite).rotary.magnitude == 1);
  CHECK(mla(fixture("kimi-k2").build()).scale == Approx(1 / std::sqrt(64.0)));
}

TEST_CASE("split weights are taken as they are") {
  const graph::Model model = deepseek2(true).build();
  const graph::Module& m = *module_of(model, kv_b);
  CHECK(m.find("k_b")->pieces[0].tensor == "blk.0.attn_k_b.weight");
  CHECK_FALSE(m.find("k_b")->transposed);
  CHECK(m.find("k_b")->pieces[0].rows == 4 * 512);
  CHECK(m.find("v_b")->pieces[0].rows == 4 * 128);
}

TEST_CASE("a joint weight gives each head's key rows, transposed, and its value rows") {
  const graph::Model model = deepseek2(false).build();
  const graph::Module& m = *module_of(model, kv_b);
  const graph::Weight &k = *m.find("k_b"), &v = *m.find("v_b");
  CHECK(k.transposed);
  CHECK_FALSE(v.transposed);
  CHECK(k.count == 4);
  CHECK(k.rows == 512);
  CHECK(k.cols == 128);
  CHECK(v.rows == 128);
  CHECK(v.cols == 512);
  for (size_t head = 0; head < 4; ++head) {
    const auto first = static_cast<int64_t>(head) * 256;
    CHECK(k.pieces[head].first_row == first);
    CHECK(k.pieces[head].rows == 128);
    CHECK(v.pieces[head].first_row == first + 128);
    CHECK(v.pieces[head].rows == 128);
  }
}

TEST_CASE("a file with both layouts is read by the split one; flat split weights are too") {
  test::FakeGguf f = deepseek2(false);
  for (int layer = 0; layer < 2; ++layer) {
    f.block(layer, "attn_k_b", {4 * 512, 128});
    f.block(layer, "attn_v_b", {4 * 128, 512});
  }
  CHECK(module_of(f.build(), kv_b)->find("k_b")->pieces[0].tensor == "blk.0.attn_k_b.weight");
}

TEST_CASE("wrong sizes") {
  test::FakeGguf f = deepseek2(false);
  f.key("attention.key_length", 64);
  CHECK(error_of([&] { f.build(); }) ==
        "model.gguf: 'deepseek2.attention.key_length' must be above the 64 of "
        "'deepseek2.rope.dimension_count', found 64");
  f.key("attention.key_length", 200);
  CHECK(error_of([&] { f.build(); }) ==
        "model.gguf: tensor 'blk.0.attn_q_b.weight' must have the shape [800, 256] by the "
        "configuration, found [768, 256]");
  Fake hf = fixture("kimi-k2");
  hf.config["qk_rope_head_dim"] = 31;
  CHECK(error_of([&] { hf.build(); }) == "config.json: 'qk_rope_head_dim' must be even, found 31");
  hf = fixture("kimi-k2");
  hf.at("model.layers.1.self_attn.kv_b_proj.weight").shape = {256, 64};
  CHECK(error_of([&] { hf.build(); }) ==
        "config.json: tensor 'model.layers.1.self_attn.kv_b_proj.weight' must have the shape "
        "[256, 128] by the configuration, found [256, 64]");
}

TEST_CASE("biases and halves by the configuration") {
  Fake hf = fixture("kimi-k2");
  hf.config["rope_interleave"] = false;
  CHECK_FALSE(mla(hf.build()).rotary.interleaved);
  hf.config["attention_bias"] = true;
  CHECK(error_of([&] {
          hf.build();
        }).find("config.json: tensor 'model.layers.0.self_attn.q_a_proj.bias' is not") == 0);
}
