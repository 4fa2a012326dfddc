// The published models whose shapes synthetic checkpoints can have: their hyper-parameters, as
// config.json and as GGUF metadata.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/json.hpp"

namespace ktx::engine {

struct PublishedModel {
  std::string_view name;           // "deepseek-v3"
  std::string_view title;          // "DeepSeek-V3"
  std::string_view gguf;           // GGUF general.architecture
  std::string_view pre_tokenizer;  // GGUF tokenizer.ggml.pre
  bool add_bos;                    // prompts begin with the bos token
  std::string_view config;         // config.json, without what says how weights are stored
};

std::span<const PublishedModel> published_models();

/// Throws input error for an unknown name, with those there are.
const PublishedModel& published_model(std::string_view name);

/// The names in config.json of the sizes that can be changed.
std::vector<std::string> size_names(const PublishedModel& model);

/// How a synthetic model differs from the published one.
struct ShapeChanges {
  std::optional<int> dense_layers, moe_layers, experts;
  std::map<std::string, int64_t> sizes;  // by their name in config.json
};

/// config.json of the changed model. Throws input error for a size that the model does not have.
Json changed_config(const PublishedModel& model, const ShapeChanges& changes);

/// The metadata of a GGUF file of the model with that config.json, in the layout of llama.cpp since
/// April 2025: a compressed cache, and kv_b split into k_b and v_b. Without general.file_type and
/// the tokenizer.
Json gguf_metadata(const PublishedModel& model, const Json& config);

}  // namespace ktx::engine
