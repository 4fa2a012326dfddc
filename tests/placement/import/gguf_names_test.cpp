// The names that llama.cpp has for a module's weights.
#include "placement/import/gguf_names.hpp"

#include "../sample.hpp"
#include "catch.hpp"

using namespace ktx;
using namespace ktx::placement;

namespace {

std::string names(const std::string& path, model::Naming naming) {
  const auto model = sample::deepseek();
  std::string out;
  for (const auto& module : model.modules)
    if (module.path == path)
      for (const auto& tensor : gguf_tensors(module, naming)) out += tensor.name + " ";
  return out;
}

}  // namespace

TEST_CASE("a GGUF checkpoint names its own tensors") {
  CHECK(names("lm_head", model::Naming::gguf) == "t ");
}

TEST_CASE("others have the names of a conversion") {
  const auto of = [](const char* path) { return names(path, model::Naming::hugging_face); };
  CHECK(of("model.embed_tokens") == "token_embd.weight ");
  CHECK(of("lm_head") == "output.weight ");
  CHECK(of("model.norm") == "output_norm.weight ");
  CHECK(of("model.layers.1.self_attn.q_a_proj") == "blk.1.attn_q_a.weight ");
  CHECK(of("model.layers.1.self_attn.kv_b_proj") ==
        "blk.1.attn_kv_b.weight blk.1.attn_kv_b.weight ");
  CHECK(of("model.layers.1.mlp.gate") == "blk.1.ffn_gate_inp.weight blk.1.exp_probs_b.bias ");
  CHECK(of("model.layers.1.mlp.experts") ==
        "blk.1.ffn_gate_exps.weight blk.1.ffn_up_exps.weight blk.1.ffn_down_exps.weight ");
  CHECK(of("model.layers.1.mlp.shared_experts.up_proj") == "blk.1.ffn_up_shexp.weight ");
}

TEST_CASE("weights are counted") {
  const auto model = sample::deepseek();
  for (const auto& module : model.modules)
    for (const auto& tensor : gguf_tensors(module, model::Naming::hugging_face))
      CHECK(tensor.weights > 0);
}
