// Published models: their hyper-parameters, as config.json and as GGUF metadata.
#include "engine/synth/published.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <vector>

#include "core/base/error.hpp"
#include "core/base/text.hpp"

namespace ktx::engine {
namespace {

// The config.json of deepseek-ai/DeepSeek-V3, DeepSeek-V2 and DeepSeek-V2-Lite,
// moonshotai/Kimi-K2-Instruct, Qwen/Qwen3-235B-A22B and Qwen3-30B-A3B, and
// mistralai/Mixtral-8x7B-v0.1, but for V3's layer of multi-token prediction, which is not written.
constexpr PublishedModel table[] = {
    {"deepseek-v3", "DeepSeek-V3", "deepseek2", "deepseek-v3", true, R"({
      "architectures": ["DeepseekV3ForCausalLM"], "model_type": "deepseek_v3",
      "attention_bias": false, "bos_token_id": 0, "eos_token_id": 1,
      "first_k_dense_replace": 3, "hidden_act": "silu", "hidden_size": 7168,
      "intermediate_size": 18432, "kv_lora_rank": 512, "max_position_embeddings": 163840,
      "moe_intermediate_size": 2048, "moe_layer_freq": 1, "n_group": 8, "n_routed_experts": 256,
      "n_shared_experts": 1, "norm_topk_prob": true, "num_attention_heads": 128,
      "num_experts_per_tok": 8, "num_hidden_layers": 61, "num_key_value_heads": 128,
      "num_nextn_predict_layers": 0, "q_lora_rank": 1536, "qk_nope_head_dim": 128,
      "qk_rope_head_dim": 64, "rms_norm_eps": 1e-06,
      "rope_scaling": {"beta_fast": 32, "beta_slow": 1, "factor": 40, "mscale": 1.0,
        "mscale_all_dim": 1.0, "original_max_position_embeddings": 4096, "type": "yarn"},
      "rope_theta": 10000, "routed_scaling_factor": 2.5, "scoring_func": "sigmoid",
      "tie_word_embeddings": false, "topk_group": 4, "topk_method": "noaux_tc",
      "v_head_dim": 128, "vocab_size": 129280})"},
    {"deepseek-v2", "DeepSeek-V2", "deepseek2", "deepseek-llm", true, R"({
      "architectures": ["DeepseekV2ForCausalLM"], "model_type": "deepseek_v2",
      "attention_bias": false, "bos_token_id": 100000, "eos_token_id": 100001,
      "first_k_dense_replace": 1, "hidden_act": "silu", "hidden_size": 5120,
      "intermediate_size": 12288, "kv_lora_rank": 512, "max_position_embeddings": 163840,
      "moe_intermediate_size": 1536, "moe_layer_freq": 1, "n_group": 8, "n_routed_experts": 160,
      "n_shared_experts": 2, "norm_topk_prob": false, "num_attention_heads": 128,
      "num_experts_per_tok": 6, "num_hidden_layers": 60, "num_key_value_heads": 128,
      "q_lora_rank": 1536, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "rms_norm_eps": 1e-06,
      "rope_scaling": {"beta_fast": 32, "beta_slow": 1, "factor": 40, "mscale": 0.707,
        "mscale_all_dim": 0.707, "original_max_position_embeddings": 4096, "type": "yarn"},
      "rope_theta": 10000, "routed_scaling_factor": 16.0, "scoring_func": "softmax",
      "tie_word_embeddings": false, "topk_group": 3, "topk_method": "group_limited_greedy",
      "v_head_dim": 128, "vocab_size": 102400})"},
    {"deepseek-v2-lite", "DeepSeek-V2-Lite", "deepseek2", "deepseek-llm", true, R"({
      "architectures": ["DeepseekV2ForCausalLM"], "model_type": "deepseek_v2",
      "attention_bias": false, "bos_token_id": 100000, "eos_token_id": 100001,
      "first_k_dense_replace": 1, "hidden_act": "silu", "hidden_size": 2048,
      "intermediate_size": 10944, "kv_lora_rank": 512, "max_position_embeddings": 163840,
      "moe_intermediate_size": 1408, "moe_layer_freq": 1, "n_group": 1, "n_routed_experts": 64,
      "n_shared_experts": 2, "norm_topk_prob": false, "num_attention_heads": 16,
      "num_experts_per_tok": 6, "num_hidden_layers": 27, "num_key_value_heads": 16,
      "q_lora_rank": null, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "rms_norm_eps": 1e-06,
      "rope_scaling": {"beta_fast": 32, "beta_slow": 1, "factor": 40, "mscale": 0.707,
        "mscale_all_dim": 0.707, "original_max_position_embeddings": 4096, "type": "yarn"},
      "rope_theta": 10000, "routed_scaling_factor": 1.0, "scoring_func": "softmax",
      "tie_word_embeddings": false, "topk_group": 1, "topk_method": "greedy",
      "v_head_dim": 128, "vocab_size": 102400})"},
    {"kimi-k2", "Kimi-K2", "deepseek2", "kimi-k2", false, R"({
      "architectures": ["DeepseekV3ForCausalLM"], "model_type": "kimi_k2",
      "attention_bias": false, "bos_token_id": 163584, "eos_token_id": 163585,
      "first_k_dense_replace": 1, "hidden_act": "silu", "hidden_size": 7168,
      "intermediate_size": 18432, "kv_lora_rank": 512, "max_position_embeddings": 131072,
      "moe_intermediate_size": 2048, "moe_layer_freq": 1, "n_group": 1, "n_routed_experts": 384,
      "n_shared_experts": 1, "norm_topk_prob": true, "num_attention_heads": 64,
      "num_experts_per_tok": 8, "num_hidden_layers": 61, "num_key_value_heads": 64,
      "num_nextn_predict_layers": 0, "q_lora_rank": 1536, "qk_nope_head_dim": 128,
      "qk_rope_head_dim": 64, "rms_norm_eps": 1e-06,
      "rope_scaling": {"beta_fast": 1.0, "beta_slow": 1.0, "factor": 32.0, "mscale": 1.0,
        "mscale_all_dim": 1.0, "original_max_position_embeddings": 4096, "type": "yarn"},
      "rope_theta": 50000.0, "routed_scaling_factor": 2.827, "scoring_func": "sigmoid",
      "tie_word_embeddings": false, "topk_group": 1, "topk_method": "noaux_tc",
      "v_head_dim": 128, "vocab_size": 163840})"},
    {"qwen3-235b", "Qwen3-235B-A22B", "qwen3moe", "qwen2", false, R"({
      "architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe",
      "attention_bias": false, "bos_token_id": 151643, "eos_token_id": 151645,
      "decoder_sparse_step": 1, "head_dim": 128, "hidden_act": "silu", "hidden_size": 4096,
      "intermediate_size": 12288, "max_position_embeddings": 40960, "max_window_layers": 94,
      "mlp_only_layers": [], "moe_intermediate_size": 1536, "norm_topk_prob": true,
      "num_attention_heads": 64, "num_experts": 128, "num_experts_per_tok": 8,
      "num_hidden_layers": 94, "num_key_value_heads": 4, "rms_norm_eps": 1e-06,
      "rope_scaling": null, "rope_theta": 1000000.0, "sliding_window": null,
      "tie_word_embeddings": false, "use_sliding_window": false, "vocab_size": 151936})"},
    {"qwen3-30b-a3b", "Qwen3-30B-A3B", "qwen3moe", "qwen2", false, R"({
      "architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe",
      "attention_bias": false, "bos_token_id": 151643, "eos_token_id": 151645,
      "decoder_sparse_step": 1, "head_dim": 128, "hidden_act": "silu", "hidden_size": 2048,
      "intermediate_size": 6144, "max_position_embeddings": 40960, "max_window_layers": 48,
      "mlp_only_layers": [], "moe_intermediate_size": 768, "norm_topk_prob": true,
      "num_attention_heads": 32, "num_experts": 128, "num_experts_per_tok": 8,
      "num_hidden_layers": 48, "num_key_value_heads": 4, "rms_norm_eps": 1e-06,
      "rope_scaling": null, "rope_theta": 1000000.0, "sliding_window": null,
      "tie_word_embeddings": false, "use_sliding_window": false, "vocab_size": 151936})"},
    {"mixtral-8x7b", "Mixtral-8x7B", "llama", "llama-bpe", true, R"({
      "architectures": ["MixtralForCausalLM"], "model_type": "mixtral",
      "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu", "hidden_size": 4096,
      "intermediate_size": 14336, "max_position_embeddings": 32768, "num_attention_heads": 32,
      "num_experts_per_tok": 2, "num_hidden_layers": 32, "num_key_value_heads": 8,
      "num_local_experts": 8, "rms_norm_eps": 1e-05, "rope_theta": 1000000.0,
      "sliding_window": null, "tie_word_embeddings": false, "vocab_size": 32000})"},
};

/// A hyper-parameter under its name in config.json and, below the architecture, in GGUF metadata.
struct KeyPair {
  const char* config;
  std::string_view gguf;
  bool real = false;  // f32 in GGUF, however it is written in config.json
};

constexpr KeyPair key_pairs[] = {
    {"num_hidden_layers", "block_count"},
    {"max_position_embeddings", "context_length"},
    {"hidden_size", "embedding_length"},
    {"intermediate_size", "feed_forward_length"},
    {"num_attention_heads", "attention.head_count"},
    {"num_key_value_heads", "attention.head_count_kv"},
    {"rope_theta", "rope.freq_base", true},
    {"rms_norm_eps", "attention.layer_norm_rms_epsilon", true},
    {"head_dim", "attention.key_length"},
    {"head_dim", "attention.value_length"},
    {"num_experts_per_tok", "expert_used_count"},
    {"n_routed_experts", "expert_count"},
    {"num_experts", "expert_count"},
    {"num_local_experts", "expert_count"},
    {"moe_intermediate_size", "expert_feed_forward_length"},
    {"first_k_dense_replace", "leading_dense_block_count"},
    {"q_lora_rank", "attention.q_lora_rank"},
    {"kv_lora_rank", "attention.kv_lora_rank"},
    {"n_shared_experts", "expert_shared_count"},
    {"routed_scaling_factor", "expert_weights_scale", true},
    {"n_group", "expert_group_count"},
    {"topk_group", "expert_group_used_count"},
    {"qk_rope_head_dim", "rope.dimension_count"},
};

/// GGUF's numbers are f32: what is written is what is read.
double as_f32(double number) {
  return static_cast<float>(number);
}

/// Multi-head latent attention as llama.cpp has it since its cache holds the latent: to the cache
/// it is attention with one head of keys and values.
void add_mla(Json& metadata, const std::string& prefix, const Json& config) {
  const auto size = [&](const char* key) { return config.at(key).get<uint64_t>(); };
  metadata[prefix + "attention.head_count_kv"] = 1u;
  metadata[prefix + "attention.key_length"] = size("kv_lora_rank") + size("qk_rope_head_dim");
  metadata[prefix + "attention.value_length"] = size("kv_lora_rank");
  metadata[prefix + "attention.key_length_mla"] =
      size("qk_nope_head_dim") + size("qk_rope_head_dim");
  metadata[prefix + "attention.value_length_mla"] = size("v_head_dim");
  metadata[prefix + "vocab_size"] = size("vocab_size");
  metadata[prefix + "expert_weights_norm"] = config.at("norm_topk_prob");
  const bool sigmoid = config.at("scoring_func") == "sigmoid";
  metadata[prefix + "expert_gating_func"] = sigmoid ? 2u : 1u;
}

void add_yarn(Json& metadata, const std::string& prefix, const Json& scaling) {
  const auto number = [&](const char* key) { return as_f32(scaling.at(key).get<double>()); };
  const std::string rope = prefix + "rope.scaling.";
  metadata[rope + "type"] = "yarn";
  metadata[rope + "factor"] = number("factor");
  metadata[rope + "original_context_length"] =
      scaling.at("original_max_position_embeddings").get<uint64_t>();
  metadata[rope + "yarn_beta_fast"] = number("beta_fast");
  metadata[rope + "yarn_beta_slow"] = number("beta_slow");
  metadata[rope + "yarn_log_multiplier"] = as_f32(0.1 * scaling.at("mscale_all_dim").get<double>());
}

void set_size(Json& config, const PublishedModel& model, const std::string& name, int64_t value) {
  const auto found = config.find(name);
  if (found == config.end() || !found->is_number_integer()) {
    throw_input("'" + name + "' is no size of " + std::string(model.name), {},
                base::suggestions(name, size_names(model), "sizes"));
  }
  if (value < 0 || value > std::numeric_limits<int32_t>::max())
    throw_input("'" + name + "' must be from 0 to 2147483647, found " + std::to_string(value));
  *found = static_cast<uint64_t>(value);
}

void set_layers(Json& config, const PublishedModel& model, const ShapeChanges& changes) {
  const auto dense_key = config.find("first_k_dense_replace");
  const bool has_dense = dense_key != config.end();
  const int published_dense = has_dense ? dense_key->get<int>() : 0;
  const int published_moe = config.at("num_hidden_layers").get<int>() - published_dense;
  const int dense = changes.dense_layers.value_or(published_dense);
  const int moe = changes.moe_layers.value_or(published_moe);
  if (dense < 0 || moe < 0 || dense + moe == 0)
    throw_input("expected at least one layer, found " + std::to_string(dense) + " dense and " +
                std::to_string(moe) + " MoE layers");
  if (!has_dense && dense > 0)
    throw_input(std::string(model.name) + " has MoE layers only, found " + std::to_string(dense) +
                " dense layers");
  if (has_dense) *dense_key = static_cast<uint64_t>(dense);
  config["num_hidden_layers"] = static_cast<uint64_t>(dense) + static_cast<uint64_t>(moe);
}

/// In a smaller vocabulary the two special tokens come last.
void fit_special_tokens(Json& config) {
  const auto vocab = config.at("vocab_size").get<uint64_t>();
  auto& bos = config.at("bos_token_id");
  auto& eos = config.at("eos_token_id");
  if (bos.get<uint64_t>() < vocab && eos.get<uint64_t>() < vocab) return;
  bos = vocab - 2;
  eos = vocab - 1;
}

}  // namespace

std::span<const PublishedModel> published_models() {
  return table;
}

const PublishedModel& published_model(std::string_view name) {
  std::vector<std::string> names;
  for (const PublishedModel& model : table) {
    if (model.name == name) return model;
    names.emplace_back(model.name);
  }
  throw_input("no published model '" + std::string(name) + "'", {},
              base::suggestions(name, names, "models"));
}

std::vector<std::string> size_names(const PublishedModel& model) {
  std::vector<std::string> names;
  const Json config = base::parse_json(model.config, std::string(model.name));
  for (const auto& [key, value] : config.items())
    if (value.is_number_integer()) names.push_back(key);
  return names;
}

Json changed_config(const PublishedModel& model, const ShapeChanges& changes) {
  Json config = base::parse_json(model.config, std::string(model.name));
  if (changes.experts) {
    for (const char* key : {"n_routed_experts", "num_experts", "num_local_experts"})
      if (config.contains(key)) set_size(config, model, key, *changes.experts);
  }
  for (const auto& [name, value] : changes.sizes) set_size(config, model, name, value);
  constexpr uint64_t least_vocab = 258;  // 256 bytes and two special tokens
  if (config.at("vocab_size").get<uint64_t>() < least_vocab)
    throw_input("'vocab_size' must be at least " + std::to_string(least_vocab) + ", found " +
                base::dump_json(config.at("vocab_size")));
  set_layers(config, model, changes);
  fit_special_tokens(config);
  return config;
}

Json gguf_metadata(const PublishedModel& model, const Json& config) {
  const std::string prefix = std::string(model.gguf) + ".";
  Json metadata = {{"general.architecture", model.gguf},
                   {"general.type", "model"},
                   {"general.name", "Synthetic " + std::string(model.title)}};
  for (const KeyPair& pair : key_pairs) {
    const auto value = config.find(pair.config);
    if (value == config.end() || value->is_null()) continue;
    Json& out = metadata[prefix + std::string(pair.gguf)];
    out = *value;
    if (pair.real) out = as_f32(value->get<double>());
  }
  if (config.contains("kv_lora_rank")) add_mla(metadata, prefix, config);
  const auto scaling = config.find("rope_scaling");
  if (scaling != config.end() && scaling->is_object()) add_yarn(metadata, prefix, *scaling);
  metadata["general.quantization_version"] = 2u;
  return metadata;
}

}  // namespace ktx::engine
