// The one table of architectures.
#include "model/archs.hpp"

#include <algorithm>
#include <array>

#include "core/base/error.hpp"
#include "core/base/text.hpp"

namespace ktx::model {
namespace {

bool contains(const std::vector<std::string_view>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::vector<std::string> all_names(std::vector<std::string_view> Architecture::*names) {
  std::vector<std::string> out;
  for (const Architecture& row : architectures()) {
    for (std::string_view name : row.*names) {
      if (std::find(out.begin(), out.end(), name) == out.end()) out.emplace_back(name);
    }
  }
  return out;
}

[[noreturn]] void unknown(const std::string& name,
                          std::vector<std::string_view> Architecture::*names,
                          const Source& source) {
  throw_input("unknown architecture '" + name + "'", source.where,
              base::suggestions(name, all_names(names), "architectures"));
}

Recognised recognise_gguf(const Source& source) {
  const Config general(Naming::gguf, *source.config, source.where);
  const Key key{{}, "general.architecture"};
  const std::string name = general.text_or(key, "");
  if (name.empty()) general.fail(key, "is missing");
  const Key type{{}, "general.type"};
  if (const std::string found = general.text_or(type, "model"); found != "model") {
    general.fail(type, "must be \"model\", found \"" + found + "\": not a language model");
  }
  const Config config(Naming::gguf, *source.config, source.where, name + ".");
  for (const Architecture& row : architectures()) {
    if (!contains(row.gguf, name)) continue;
    if (row.applies == nullptr || row.applies(config, source)) {
      return {&row, std::string(row.model_types.front()), config};
    }
  }
  unknown(name, &Architecture::gguf, source);
}

/// Prefixes that models of several parts give the tensors of their language model.
Renaming renaming_of(const Source& source) {
  static const std::array<Renaming, 2> known{
      {{"", "language_model."}, {"model.", "model.language_model."}}};
  for (const Renaming& renaming : known) {
    const std::string first =
        renaming.to + std::string("model.embed_tokens.weight").substr(renaming.from.size());
    if (source.tensors(first) != nullptr) return renaming;
  }
  return {};
}

/// The configuration of the language model: a part of that of a model that sees or hears too.
Config language_config(const Source& source) {
  const Config whole(Naming::hugging_face, *source.config, source.where);
  const bool has_parts = whole.has({"text_config", {}}) && !whole.has({"num_hidden_layers", {}});
  return has_parts ? whole.section("text_config") : whole;
}

Recognised recognise_hugging_face(const Source& source) {
  const Config config = language_config(source);
  const Renaming renaming = renaming_of(source);
  const Key key{"model_type", {}};
  const std::string name = config.text_or(key, "");
  for (const Architecture& row : architectures()) {
    if (contains(row.model_types, name)) return {&row, name, config, renaming};
  }
  if (!name.empty()) unknown(name, &Architecture::model_types, source);
  const Key classes_key{"architectures", {}};
  const Json* classes = config.find(classes_key);
  if (classes == nullptr || !classes->is_array() || classes->empty() ||
      !classes->front().is_string()) {
    config.fail(key, "is missing", {"nor does 'architectures' name one"});
  }
  const auto model_class = classes->front().get<std::string>();
  for (const Architecture& row : architectures()) {
    if (contains(row.classes, model_class)) {
      return {&row, std::string(row.model_types.front()), config, renaming};
    }
  }
  unknown(model_class, &Architecture::classes, source);
}

}  // namespace

std::span<const Architecture> architectures() {
  static const std::array<Architecture, 6> table{{
      {{"deepseek_v3", "kimi_k2"},
       {"deepseek2"},
       {"DeepseekV3ForCausalLM"},
       is_deepseek_v3,
       build_deepseek_v3,
       "DeepSeek-V3, V3.1 and R1, Kimi-K2, Moonlight"},
      {{"deepseek_v2"},
       {"deepseek2"},
       {"DeepseekV2ForCausalLM"},
       nullptr,
       build_deepseek_v2,
       "DeepSeek-V2, V2.5, V2-Lite and Coder-V2"},
      {{"qwen2_moe"},
       {"qwen2moe"},
       {"Qwen2MoeForCausalLM"},
       nullptr,
       build_qwen2_moe,
       "Qwen1.5-MoE and Qwen2-57B-A14B"},
      {{"qwen3_moe"},
       {"qwen3moe"},
       {"Qwen3MoeForCausalLM"},
       nullptr,
       build_qwen3_moe,
       "Qwen3-30B-A3B and Qwen3-235B-A22B"},
      {{"mixtral"},
       {"llama"},
       {"MixtralForCausalLM"},
       has_experts,
       build_mixtral,
       "Mixtral 8x7B and 8x22B"},
      {{"llama"}, {"llama"}, {"LlamaForCausalLM"}, nullptr, build_llama, "Llama 1 to 3.3"},
  }};
  return table;
}

Recognised recognise(const Source& source) {
  return source.naming == Naming::gguf ? recognise_gguf(source) : recognise_hugging_face(source);
}

}  // namespace ktx::model
