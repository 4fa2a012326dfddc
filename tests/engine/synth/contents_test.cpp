// The tensors of whole published models, by their known numbers.
#include "engine/synth/contents.hpp"

#include <algorithm>
#include <map>

#include "catch.hpp"
#include "core/base/failure.hpp"

using namespace ktx;
using namespace ktx::engine;
using quant::Format;

namespace {

Recipe recipe(const char* model, const char* mix, bool gguf, const ShapeChanges& changes = {}) {
  Recipe r;
  r.model = &published_model(model);
  r.mix = &find_mix(mix);
  r.naming = gguf ? model::Naming::gguf : model::Naming::hugging_face;
  r.config = changed_config(*r.model, changes);
  if (gguf) r.metadata = gguf_metadata(*r.model, r.config);
  return r;
}

double weights(const std::vector<SynthTensor>& tensors) {
  double sum = 0;
  for (const auto& tensor : tensors) sum += static_cast<double>(tensor.weights());
  return sum;
}

const SynthTensor& at(const std::vector<SynthTensor>& tensors, const std::string& name) {
  const auto found = std::find_if(tensors.begin(), tensors.end(),
                                  [&](const SynthTensor& t) { return t.name == name; });
  INFO(name);
  REQUIRE(found != tensors.end());
  return *found;
}

using Shape = std::vector<int64_t>;

}  // namespace

TEST_CASE("DeepSeek-V3 in Q4_K_M has the published file's tensors") {
  const auto tensors = contents(recipe("deepseek-v3", "q4_k_m", true));
  std::map<Format, int> counts;
  for (const auto& tensor : tensors) ++counts[tensor.numbers.format];
  // What llama.cpp prints of the published files: 361 of f32, 606 of q4_K, 58 of q6_K; those with
  // kv_b split have its 61 halves k_b besides, whose rows of 128 only q5_0 fits.
  CHECK(counts ==
        std::map<Format, int>{
            {Format::f32, 361}, {Format::q4_k, 606}, {Format::q6_k, 58}, {Format::q5_0, 61}});
  CHECK(weights(tensors) == Approx(671.03e9).epsilon(1e-4));
  CHECK(at(tensors, "blk.3.ffn_gate_exps.weight").shape == Shape{256, 2048, 7168});
  CHECK(at(tensors, "blk.3.ffn_down_exps.weight").shape == Shape{256, 7168, 2048});
  CHECK(at(tensors, "blk.3.attn_k_b.weight").shape == Shape{128, 512, 128});
  CHECK(at(tensors, "blk.3.attn_v_b.weight").shape == Shape{128, 128, 512});
  CHECK(at(tensors, "blk.60.attn_kv_a_mqa.weight").shape == Shape{576, 7168});
  CHECK(at(tensors, "blk.3.exp_probs_b.bias").shape == Shape{256});
  CHECK(at(tensors, "token_embd.weight").numbers.format == Format::q4_k);
  CHECK(at(tensors, "output.weight").numbers.format == Format::q6_k);
  // 61 / 8 = 7 layers at either end, between them those with (layer - 7) % 3 == 2.
  for (const auto& [layer, format] : std::map<int, Format>{{6, Format::q6_k},
                                                           {7, Format::q4_k},
                                                           {8, Format::q4_k},
                                                           {9, Format::q6_k},
                                                           {52, Format::q4_k},
                                                           {53, Format::q6_k},
                                                           {60, Format::q6_k}}) {
    const std::string prefix = "blk." + std::to_string(layer) + ".ffn_";
    CHECK(at(tensors, prefix + "down_exps.weight").numbers.format == format);
    CHECK(at(tensors, prefix + "down_shexp.weight").numbers.format == format);
    CHECK(at(tensors, prefix + "up_exps.weight").numbers.format == Format::q4_k);
  }
}

TEST_CASE("the other published models have their numbers of weights") {
  CHECK(weights(contents(recipe("kimi-k2", "q8_0", true))) == Approx(1026.4e9).epsilon(1e-3));
  const auto qwen = contents(recipe("qwen3-235b", "q4_k_m", true));
  CHECK(weights(qwen) == Approx(235.09e9).epsilon(1e-4));
  CHECK(at(qwen, "blk.0.attn_v.weight").numbers.format == Format::q6_k);
  CHECK(at(qwen, "blk.0.attn_k.weight").numbers.format == Format::q4_k);
  CHECK(at(qwen, "blk.0.attn_q_norm.weight").shape == Shape{128});
}

TEST_CASE("the smaller published models have the weights and bytes of their files") {
  struct Published {
    const char* model;
    double weights, q4_k_m_bytes;
  };
  for (const auto& [model, count, q4_k_m_bytes] :
       {Published{"deepseek-v2", 235.74e9, 142.45e9},
        Published{"deepseek-v2-lite", 15.71e9, 10.4e9},
        Published{"qwen3-30b-a3b", 30.53e9, 18.56e9}, Published{"mixtral-8x7b", 46.70e9, 28.4e9}}) {
    INFO(model);
    const auto tensors = contents(recipe(model, "q4_k_m", true));
    CHECK(weights(tensors) == Approx(count).epsilon(1e-3));
    double bytes = 0;
    for (const auto& tensor : tensors) bytes += static_cast<double>(tensor.bytes());
    CHECK(bytes == Approx(q4_k_m_bytes).epsilon(0.01));
  }
  const auto lite = contents(recipe("deepseek-v2-lite", "q4_k_m", true));
  CHECK(at(lite, "blk.0.attn_q.weight").shape == Shape{16 * 192, 2048});
  CHECK(at(lite, "blk.1.ffn_down_shexp.weight").shape == Shape{2048, 2 * 1408});
  CHECK(at(lite, "blk.4.ffn_down_exps.weight").numbers.format == Format::q5_0);  // rows of 1408
}

TEST_CASE("Mixtral's Hugging Face checkpoints have names of their own") {
  const auto tensors = contents(recipe("mixtral-8x7b", "bf16", false, {.moe_layers = 1}));
  const std::string moe = "model.layers.0.block_sparse_moe.";
  CHECK(at(tensors, moe + "gate.weight").shape == Shape{8, 4096});
  CHECK(at(tensors, moe + "experts.7.w1.weight").shape == Shape{14336, 4096});
  CHECK(at(tensors, moe + "experts.7.w2.weight").shape == Shape{4096, 14336});
  CHECK(at(tensors, moe + "experts.7.w3.weight").shape == Shape{14336, 4096});
}

TEST_CASE("a mix of one format leaves vectors and routers in f32") {
  for (const char* mix : {"q4_k", "q8_0", "bf16"}) {
    const auto tensors =
        contents(recipe("deepseek-v3", mix, true, {.dense_layers = 1, .moe_layers = 8}));
    for (const auto& tensor : tensors) {
      INFO(mix << " " << tensor.name);
      const bool kept = tensor.shape.size() == 1 || tensor.name.find("ffn_gate_inp") != SIZE_MAX;
      const bool k_b = tensor.name.find("attn_k_b") != SIZE_MAX;
      const Format expected = kept                                ? Format::f32
                              : k_b && std::string(mix) == "q4_k" ? Format::q5_0
                                                                  : find_mix(mix).matrices;
      CHECK(tensor.numbers.format == expected);
    }
  }
}

TEST_CASE("mxfp4 is for tensors of three dimensions, beside q8_0") {
  const auto tensors =
      contents(recipe("deepseek-v3", "mxfp4", true, {.dense_layers = 1, .moe_layers = 1}));
  CHECK(at(tensors, "blk.1.ffn_down_exps.weight").numbers.format == Format::mxfp4);
  CHECK(at(tensors, "blk.1.attn_k_b.weight").numbers.format == Format::mxfp4);
  CHECK(at(tensors, "blk.1.ffn_down_shexp.weight").numbers.format == Format::q8_0);
  CHECK(at(tensors, "blk.0.ffn_down.weight").numbers.format == Format::q8_0);
  CHECK(at(tensors, "output.weight").numbers.format == Format::q8_0);
  CHECK(at(tensors, "blk.1.ffn_gate_inp.weight").numbers.format == Format::f32);
}

TEST_CASE("DeepSeek-V3 in the mixes of few bits has the counts of Unsloth's files") {
  struct Published {
    const char* mix;
    std::map<Format, int> experts;
    double gib;
  };
  // What llama.cpp counts: of q2_k_xl 306 q4_K and 184 q6_K besides, of iq1_s 116 of the 306 in
  // q5_K. Here kv_b is split, and its half k_b, of rows of 128, in q5_0.
  const std::map<Format, int> others{
      {Format::f32, 361}, {Format::q4_k, 306}, {Format::q6_k, 184}, {Format::q5_0, 61}};
  for (const auto& [mix, experts, gib] :
       {Published{"q2_k_xl", {{Format::q2_k, 171}, {Format::q3_k, 3}}, 211},
        Published{"iq2_xxs", {{Format::iq2_xxs, 116}, {Format::q2_k, 58}}, 182},
        Published{"iq1_s", {{Format::iq1_s, 168}, {Format::iq2_xxs, 6}}, 130.6}}) {
    INFO(mix);
    const auto tensors = contents(recipe("deepseek-v3", mix, true));
    std::map<Format, int> counts;
    double bytes = 0;
    for (const auto& tensor : tensors) {
      ++counts[tensor.numbers.format];
      bytes += static_cast<double>(tensor.bytes());
    }
    auto expected = others;
    expected.insert(experts.begin(), experts.end());
    CHECK(counts == expected);
    CHECK(bytes / (1 << 30) == Approx(gib).epsilon(0.01));
  }
  const auto tensors = contents(recipe("deepseek-v3", "iq1_s", true));
  CHECK(at(tensors, "blk.8.ffn_down_exps.weight").numbers.format == Format::iq2_xxs);
  CHECK(at(tensors, "blk.9.ffn_down_exps.weight").numbers.format == Format::iq1_s);
  CHECK(at(tensors, "blk.8.ffn_gate_exps.weight").numbers.format == Format::iq1_s);
  CHECK(at(tensors, "blk.8.ffn_down_shexp.weight").numbers.format == Format::q6_k);
  CHECK(at(tensors, "output.weight").numbers.format == Format::q6_k);
}

TEST_CASE("Hugging Face checkpoints have a tensor an expert, fp8 ones scales besides") {
  const ShapeChanges changes{.dense_layers = 1, .moe_layers = 1};
  const auto bf16 = contents(recipe("deepseek-v3", "bf16", false, changes));
  const auto fp8 = contents(recipe("deepseek-v3", "fp8", false, changes));
  // Each layer 4 norms and 5 projections; 3 dense ones; 257 experts of 3, router and bias; 3
  // outside.
  CHECK(bf16.size() == 2 * 9 + 3 + 257 * 3 + 2 + 3);
  CHECK(fp8.size() == bf16.size() + 2 * 5 + 3 + 257 * 3);
  CHECK(at(bf16, "model.layers.1.mlp.experts.255.down_proj.weight").shape == Shape{7168, 2048});
  CHECK(at(bf16, "model.layers.1.mlp.gate.e_score_correction_bias").dtype() == "F32");
  CHECK(at(bf16, "model.layers.1.mlp.gate.weight").dtype() == "BF16");
  CHECK(at(fp8, "model.layers.1.mlp.gate.weight").dtype() == "BF16");
  CHECK(at(fp8, "model.embed_tokens.weight").dtype() == "BF16");
  CHECK(at(fp8, "lm_head.weight").dtype() == "BF16");
  CHECK(at(fp8, "model.layers.0.input_layernorm.weight").dtype() == "BF16");
  CHECK(at(fp8, "model.layers.0.self_attn.kv_b_proj.weight").dtype() == "F8_E4M3");
  const auto scales = at(fp8, "model.layers.0.self_attn.kv_a_proj_with_mqa.weight_scale_inv");
  CHECK(scales.shape == Shape{5, 56});  // of 576 x 7168
  CHECK(scales.dtype() == "F32");
}

TEST_CASE("sizes that don't go together are input errors, unknown mixes too") {
  CHECK(test::failure([] {
          (void)contents(recipe("deepseek-v3", "q8_0", true, {.experts = 12}));
        }).find("'deepseek2.expert_group_count' must divide the 12 experts, found 8") != SIZE_MAX);
  CHECK(test::failure([] { (void)find_mix("q4km"); }).starts_with("input no mix 'q4km'"));
}
