// Tensor names: a module's path in Hugging Face terms to the names its tensors have in a
// checkpoint.
#include "model/tensor_names.hpp"

#include <algorithm>
#include <array>

#include "core/base/error.hpp"

namespace ktx::model {
namespace {

struct Row {
  std::string_view module;      // Hugging Face, below the layer
  std::string_view gguf;        // below blk.N
  std::string_view other = {};  // a second Hugging Face name
};

constexpr std::array<Row, 31> rows{{
    {"model.embed_tokens", "token_embd"},
    {"model.norm", "output_norm"},
    {"lm_head", "output"},
    {"input_layernorm", "attn_norm"},
    {"post_attention_layernorm", "ffn_norm"},
    {"self_attn.q_proj", "attn_q"},
    {"self_attn.k_proj", "attn_k"},
    {"self_attn.v_proj", "attn_v"},
    {"self_attn.o_proj", "attn_output"},
    {"self_attn.q_norm", "attn_q_norm"},
    {"self_attn.k_norm", "attn_k_norm"},
    {"self_attn.q_a_proj", "attn_q_a"},
    {"self_attn.q_a_layernorm", "attn_q_a_norm"},
    {"self_attn.q_b_proj", "attn_q_b"},
    {"self_attn.kv_a_proj_with_mqa", "attn_kv_a_mqa"},
    {"self_attn.kv_a_layernorm", "attn_kv_a_norm"},
    {"self_attn.kv_b_proj", "attn_kv_b"},
    {"self_attn.k_b_proj", "attn_k_b"},  // no Hugging Face checkpoint splits kv_b_proj
    {"self_attn.v_b_proj", "attn_v_b"},
    {"mlp.gate_proj", "ffn_gate"},
    {"mlp.up_proj", "ffn_up"},
    {"mlp.down_proj", "ffn_down"},
    {"mlp.gate", "ffn_gate_inp", "block_sparse_moe.gate"},
    {"mlp.shared_experts.gate_proj", "ffn_gate_shexp"},
    {"mlp.shared_experts.up_proj", "ffn_up_shexp"},
    {"mlp.shared_experts.down_proj", "ffn_down_shexp"},
    {"mlp.shared_expert.gate_proj", "ffn_gate_shexp"},
    {"mlp.shared_expert.up_proj", "ffn_up_shexp"},
    {"mlp.shared_expert.down_proj", "ffn_down_shexp"},
    {"mlp.shared_expert_gate", "ffn_gate_inp_shexp"},
    {"mlp.gate.e_score_correction", "exp_probs_b"},
}};

constexpr size_t outside_layers = 3;  // of the first rows

/// Tensors of a module that has another name.
constexpr std::array<std::string_view, 3> parts{"self_attn.k_b_proj", "self_attn.v_b_proj",
                                                "mlp.gate.e_score_correction"};

std::string with_part(std::string name, std::string_view part) {
  name += '.';
  name += part;
  return name;
}

}  // namespace

std::string layer_path(int layer, std::string_view module) {
  return "model.layers." + std::to_string(layer) + "." + std::string(module);
}

std::string layer_prefix(Naming naming, int layer) {
  return (naming == Naming::gguf ? "blk." : "model.layers.") + std::to_string(layer) + ".";
}

std::vector<std::string> module_paths(int layer) {
  std::vector<std::string> paths;
  if (layer < 0) {
    for (size_t i = 0; i < outside_layers; ++i) paths.emplace_back(rows[i].module);
    return paths;
  }
  for (size_t i = outside_layers; i < rows.size(); ++i)
    if (std::find(parts.begin(), parts.end(), rows[i].module) == parts.end())
      paths.push_back(layer_path(layer, rows[i].module));
  for (const char* module : {"self_attn", "mlp.experts"})
    paths.push_back(layer_path(layer, module));
  return paths;
}

std::vector<std::string> tensor_names(Naming naming, int layer, std::string_view module,
                                      std::string_view part) {
  const auto row =
      std::find_if(rows.begin(), rows.end(), [&](const Row& r) { return r.module == module; });
  if (row == rows.end()) throw_bug("no tensor name for module '" + std::string(module) + "'");
  const std::string prefix = layer < 0 ? "" : layer_prefix(naming, layer);
  if (module ==
      "mlp.gate.e_score_correction") {  // a bias that is no Linear's, named by its own rule
    if (naming == Naming::gguf) return {prefix + "exp_probs_b.bias", prefix + "exp_probs_b"};
    return {prefix + "mlp.gate.e_score_correction_bias",
            prefix + "block_sparse_moe.gate.e_score_correction_bias"};
  }
  if (naming == Naming::gguf) return {with_part(prefix + std::string(row->gguf), part)};
  std::vector<std::string> names{with_part(prefix + std::string(row->module), part)};
  if (!row->other.empty()) names.push_back(with_part(prefix + std::string(row->other), part));
  return names;
}

ExpertNames expert_names(Naming naming, int layer, std::string_view role) {
  const std::string prefix = layer_prefix(naming, layer), r(role);
  ExpertNames names;
  const bool down = role == "down";
  if (naming == Naming::gguf) {
    names.stacked = {prefix + "ffn_" + r + "_exps.weight"};
    if (!down) names.gate_up = {prefix + "ffn_gate_up_exps.weight"};
    names.each = {{prefix + "ffn_" + r + ".", ".weight"}};
    return names;
  }
  // Transformers 5 keeps a layer's experts in two tensors, published checkpoints one tensor each.
  names.stacked = {prefix + "mlp.experts." + r + "_proj"};
  if (!down) names.gate_up = {prefix + "mlp.experts.gate_up_proj"};
  const std::string mixtral = down ? "w2" : role == "gate" ? "w1" : "w3";
  names.each = {{prefix + "mlp.experts.", "." + r + "_proj.weight"},
                {prefix + "block_sparse_moe.experts.", "." + mixtral + ".weight"}};
  return names;
}

}  // namespace ktx::model
