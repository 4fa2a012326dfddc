// What needs no use: names with wildcards, values that switch nothing on.
#include "model/harmless.hpp"

#include "catch.hpp"

using namespace ktx;
using namespace ktx::model;

TEST_CASE("harmless tensors have a reason, and those of a part its name") {
  CHECK(harmless_tensor("model.layers.3.self_attn.rotary_emb.inv_freq")->part.empty());
  CHECK(harmless_tensor("vision_tower.encoder.blocks.0.wqkv.weight")->part == "vision_tower");
  CHECK_FALSE(harmless_tensor("model.layers.3.self_attn.q_proj.bias").has_value());
  CHECK_FALSE(harmless_tensor("vision_tower").has_value());
  CHECK_FALSE(harmless_tensor("").has_value());
}

TEST_CASE("harmless keys") {
  const auto hf = [](const char* name, const Json& value) {
    return is_harmless_key(Naming::hugging_face, name, value);
  };
  const auto gguf = [](const char* name, const Json& value) {
    return is_harmless_key(Naming::gguf, name, value);
  };
  CHECK(hf("initializer_range", 0.02));
  CHECK(hf("quantization_config", Json{{"quant_method", "fp8"}}));
  CHECK(hf("layer_types", Json{"full_attention", "full_attention"}));
  CHECK_FALSE(hf("layer_types", Json{"full_attention", "sliding_attention"}));
  CHECK_FALSE(hf("attn_logit_softcapping", 50.0));
  // Without a row: a value that switches nothing on.
  for (const Json& nothing : {Json(), Json(false), Json(0), Json(0.0), Json(""), Json::array()})
    CHECK(hf("never_heard_of", nothing));
  CHECK_FALSE(hf("never_heard_of", true));
  CHECK(gguf("rope.scaling.attn_factor", 1.0f));
  CHECK_FALSE(gguf("rope.scaling.attn_factor", 0.5));
  CHECK_FALSE(gguf("rope.scaling.yarn_ext_factor", 0.0));  // with a row only its neutral value
  CHECK_FALSE(gguf("initializer_range", 0.02));
}
