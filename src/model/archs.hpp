// The one table of architectures.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/graph/graph.hpp"
#include "model/config.hpp"
#include "model/model.hpp"

namespace ktx::model {

struct Architecture {
  std::vector<std::string_view> model_types;  // Hugging Face model_type, the usual one first
  std::vector<std::string_view> gguf;         // GGUF general.architecture
  std::vector<std::string_view> classes;  // Hugging Face architectures[]: when model_type is absent
  /// Among rows that share a GGUF name the first one that applies is taken; null: always.
  bool (*applies)(const Config& config, const Source& source);
  /// model_type: one of model_types; becomes ModelInfo::architecture.
  graph::Model (*build)(const Source& source, const Config& config, const std::string& model_type);
  std::string_view doc;
};

std::span<const Architecture> architectures();

/// A row and the configuration to read it with.
struct Recognised {
  const Architecture* architecture;
  std::string model_type;
  Config config;
  Renaming renaming = {};  // of the tensors of a language model within a larger one
};

/// Recognises a checkpoint's architecture; an input error names an unknown one and those there are.
Recognised recognise(const Source& source);

// One function an architecture, each in a file of its own.
bool is_deepseek_v3(const Config& config, const Source& source);
bool has_experts(const Config& config, const Source& source);
graph::Model build_deepseek_v2(const Source&, const Config&, const std::string& model_type);
graph::Model build_deepseek_v3(const Source&, const Config&, const std::string& model_type);
graph::Model build_qwen2_moe(const Source&, const Config&, const std::string& model_type);
graph::Model build_qwen3_moe(const Source&, const Config&, const std::string& model_type);
graph::Model build_mixtral(const Source&, const Config&, const std::string& model_type);
graph::Model build_llama(const Source&, const Config&, const std::string& model_type);

}  // namespace ktx::model
