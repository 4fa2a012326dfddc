// The one table of what a checkpoint may hold without any use to ktx.
#include "model/harmless.hpp"

#include <algorithm>
#include <string>

namespace ktx::model {
namespace {

/// pattern: '*' stands for any text.
bool matches(std::string_view pattern, std::string_view text) {
  const size_t star = pattern.find('*');
  if (star == std::string_view::npos) return pattern == text;
  if (!text.starts_with(pattern.substr(0, star))) return false;
  for (size_t at = star; at <= text.size(); ++at) {
    if (matches(pattern.substr(star + 1), text.substr(at))) return true;
  }
  return false;
}

struct TensorRow {
  std::string_view pattern, reason, part = {};
};

constexpr std::string_view no_vision = "vision or audio; ktx runs only the language model";
constexpr std::string_view no_static =
    "ktx does not quantize activations by the checkpoint's scales";
constexpr std::string_view own_cache = "of an FP8 cache, whose scales ktx makes itself";

constexpr TensorRow tensors[] = {
    {"*.rotary_emb.inv_freq", "computed from the configuration"},
    {"*.input_scale", no_static},
    {"*.input_scale_ub", no_static},
    {"*.k_scale", own_cache},
    {"*.v_scale", own_cache},
    {"*_proj.output_scale", own_cache},
    {"vision_tower.*", no_vision, "vision_tower"},
    {"model.vision_tower.*", no_vision, "vision_tower"},
    {"vision_model.*", no_vision, "vision_model"},
    {"model.visual.*", no_vision, "visual"},
    {"visual.*", no_vision, "visual"},
    {"audio_tower.*", no_vision, "audio_tower"},
    {"mm_projector.*", no_vision, "mm_projector"},
    {"multi_modal_projector.*", no_vision, "multi_modal_projector"},
    {"model.multi_modal_projector.*", no_vision, "multi_modal_projector"},
};

/// A key that touches no arithmetic. neutral: the only value (or that of all items) with which that
/// is so, as JSON; empty: any.
struct KeyRow {
  std::string_view pattern, reason, neutral = {};
};

constexpr std::string_view described = "describes the file";
constexpr std::string_view of_text = "of the tokenizer or of generation";
constexpr std::string_view training = "of training";
constexpr std::string_view their_code = "of its makers' program";
constexpr std::string_view by_tensors =
    "follows from other keys or from tensors, which are checked";

constexpr KeyRow hugging_face[] = {
    {"architectures", described},
    {"model_type", described},
    {"auto_map", described},
    {"transformers_version", described},
    {"torch_dtype", described},
    {"dtype", described},
    {"_name_or_path", described},
    {"name_or_path", described},
    {"_commit_hash", described},
    {"model_name", described},
    {"finetuning_task", described},
    {"id2label", described},
    {"label2id", described},
    {"problem_type", described},
    {"task_specific_params", described},
    {"is_llama_config", described},
    {"is_decoder", described},
    {"unsloth_*", described},
    {"transformers.js_config*", described},
    {"quantization_config*", "read by the loader"},
    {"compression_config*", "read by the loader"},
    {"tie_encoder_decoder", described},
    {"bos_token_id", of_text},
    {"eos_token_id", of_text},
    {"pad_token_id", of_text},
    {"unk_token_id", of_text},
    {"sep_token_id", of_text},
    {"decoder_start_token_id", of_text},
    {"tokenizer_class", of_text},
    {"prefix", of_text},
    {"forced_*", of_text},
    {"max_length", of_text},
    {"min_length", of_text},
    {"do_sample", of_text},
    {"early_stopping", of_text},
    {"num_beams", of_text},
    {"num_beam_groups", of_text},
    {"num_return_sequences", of_text},
    {"diversity_penalty", of_text},
    {"length_penalty", of_text},
    {"repetition_penalty", of_text},
    {"temperature", of_text},
    {"top_k", of_text},
    {"top_p", of_text},
    {"typical_p", of_text},
    {"no_repeat_ngram_size", of_text},
    {"encoder_no_repeat_ngram_size", of_text},
    {"bad_words_ids", of_text},
    {"suppress_tokens", of_text},
    {"begin_suppress_tokens", of_text},
    {"exponential_decay_length_penalty", of_text},
    {"remove_invalid_values", of_text},
    {"initializer_range", training},
    {"initializer_cutoff_factor", training},
    {"attention_dropout", training},
    {"hidden_dropout*", training},
    {"classifier_dropout", training},
    {"*_pdrop", training},
    {"aux_loss_alpha", training},
    {"seq_aux", training},
    {"router_aux_loss_coef", training},
    {"router_jitter_noise", training},
    {"output_router_logits", training},
    {"gradient_checkpointing", training},
    {"use_cache", their_code},
    {"ep_size", their_code},
    {"pretraining_tp", their_code},
    {"return_dict*", their_code},
    {"output_*", their_code},
    {"torchscript", their_code},
    {"use_bfloat16", their_code},
    {"tf_legacy_loss", their_code},
    {"pruned_heads", their_code},
    {"chunk_size_feed_forward", their_code},
    {"*attn_implementation*", their_code},
    {"_experts_implementation*", their_code},
    {"use_flash_attn", their_code},
    {"_flash_attn_2_enabled", their_code},
    {"num_nextn_predict_layers", "multi-token prediction is not run"},
    {"qk_head_dim", by_tensors},
    {"head_dim", by_tensors},
    {"num_key_value_heads", "latent attention has one latent for all heads"},
    {"num_local_experts", by_tensors},
    {"layer_types", "every layer attends to all tokens", "\"full_attention\""},
    {"position_embedding_type", "of encoders", "\"absolute\""},
    {"is_causal", "each token sees those before it", "true"},
};

constexpr KeyRow gguf[] = {
    {"vocab_size", by_tensors},
    {"attention.head_count_kv", "latent attention has one latent for all heads"},
    {"attention.key_length", "of a compressed cache, whose length follows from other keys"},
    {"attention.value_length", "of a compressed cache, whose length follows from other keys"},
    {"expert_shared_feed_forward_length", by_tensors},
    {"tensor_data_layout", described},
    {"rope.scaling.finetuned", described},
    {"attention.causal", "each token sees those before it", "true"},
    {"expert_gating_func", "softmax", "1"},
    {"expert_weights_scale", "no scale", "1.0"},
    {"rope.scaling.attn_factor", "no factor", "1.0"},
    {"rope.scaling.yarn_attn_factor", "no factor", "1.0"},
    {"rope.scaling.yarn_ext_factor", "all of the ramp", "1.0"},
    {"logit_scale", "no scale", "1.0"},
};

/// A value that switches nothing on.
bool is_nothing(const Json& value) {
  return value.is_null() || value == false || value == 0 || value == "" ||
         (value.is_structured() && value.empty());
}

bool all_are(const Json& value, const Json& neutral) {
  if (!value.is_array()) return value == neutral;
  return std::all_of(value.begin(), value.end(), [&](const Json& item) { return item == neutral; });
}

template <size_t N>
bool is_harmless(const KeyRow (&rows)[N], std::string_view name, const Json& value) {
  for (const KeyRow& row : rows) {
    if (!matches(row.pattern, name)) continue;
    return row.neutral.empty() || all_are(value, Json::parse(row.neutral));
  }
  return is_nothing(value);
}

}  // namespace

std::optional<HarmlessTensor> harmless_tensor(std::string_view name) {
  for (const TensorRow& row : tensors) {
    if (matches(row.pattern, name)) return HarmlessTensor{row.reason, row.part};
  }
  return std::nullopt;
}

bool is_harmless_key(Naming naming, std::string_view name, const Json& value) {
  return naming == Naming::gguf ? is_harmless(gguf, name, value)
                                : is_harmless(hugging_face, name, value);
}

}  // namespace ktx::model
