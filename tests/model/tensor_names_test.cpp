// Tensor names in both namings.
#include "model/tensor_names.hpp"

#include "catch.hpp"
#include "fake.hpp"

using namespace ktx::model;
using Names = std::vector<std::string>;

TEST_CASE("names of a module's tensors") {
  CHECK(layer_path(3, "mlp.experts") == "model.layers.3.mlp.experts");
  CHECK(tensor_names(Naming::hugging_face, 3, "self_attn.q_proj", "bias") ==
        Names{"model.layers.3.self_attn.q_proj.bias"});
  CHECK(tensor_names(Naming::gguf, 3, "self_attn.q_proj", "bias") == Names{"blk.3.attn_q.bias"});
  CHECK(tensor_names(Naming::hugging_face, -1, "lm_head", "weight") == Names{"lm_head.weight"});
  CHECK(tensor_names(Naming::gguf, -1, "lm_head", "weight") == Names{"output.weight"});
  CHECK(tensor_names(Naming::hugging_face, 0, "mlp.gate", "weight") ==
        Names{"model.layers.0.mlp.gate.weight", "model.layers.0.block_sparse_moe.gate.weight"});
}

TEST_CASE("the router's selection bias") {
  const char* module = "mlp.gate.e_score_correction";
  CHECK(tensor_names(Naming::gguf, 5, module, "bias") ==
        Names{"blk.5.exp_probs_b.bias", "blk.5.exp_probs_b"});
  CHECK(tensor_names(Naming::hugging_face, 5, module, "bias").front() ==
        "model.layers.5.mlp.gate.e_score_correction_bias");
}

TEST_CASE("names of routed experts") {
  const ExpertNames gguf = expert_names(Naming::gguf, 2, "up");
  CHECK(gguf.stacked == Names{"blk.2.ffn_up_exps.weight"});
  CHECK(gguf.each.front().first + "7" + gguf.each.front().second == "blk.2.ffn_up.7.weight");
  CHECK(expert_names(Naming::gguf, 2, "down").gate_up.empty());
  const auto mixtral = [](const char* role) {
    const auto each = expert_names(Naming::hugging_face, 0, role).each.back();
    return each.first + "1" + each.second;
  };
  CHECK(mixtral("gate") == "model.layers.0.block_sparse_moe.experts.1.w1.weight");
  CHECK(mixtral("down") == "model.layers.0.block_sparse_moe.experts.1.w2.weight");
  CHECK(mixtral("up") == "model.layers.0.block_sparse_moe.experts.1.w3.weight");
}

TEST_CASE("paths of modules, of a layer and outside the layers") {
  CHECK(module_paths(-1) ==
        std::vector<std::string>{"model.embed_tokens", "model.norm", "lm_head"});
  const auto layer = module_paths(7);
  const auto count = [&](const std::string& path) {
    return std::count(layer.begin(), layer.end(), path);
  };
  CHECK(count("model.layers.7.self_attn.kv_b_proj") == 1);
  CHECK(count("model.layers.7.self_attn") == 1);  // grouped queries, which have no weights
  CHECK(count("model.layers.7.mlp.experts") == 1);
  CHECK(count("model.layers.7.self_attn.k_b_proj") == 0);  // a tensor of kv_b_proj
  CHECK(module_paths(8).size() == layer.size());
}

TEST_CASE("a module without a name is a bug") {
  CHECK(test::error_of([] { tensor_names(Naming::gguf, 0, "mlp.gates", "weight"); }) ==
        "no tensor name for module 'mlp.gates'");
}
