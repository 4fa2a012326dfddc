// ktx::import_rules: the model that the rules are for, and the translation.
#include "ktx/import.hpp"

#include <algorithm>
#include <array>
#include <cctype>

#include "core/base/error.hpp"
#include "core/base/text.hpp"
#include "core/base/yaml.hpp"
#include "engine/build_model.hpp"
#include "engine/source.hpp"
#include "placement/import/ktransformers.hpp"
#include "placement/import/tensor_overrides.hpp"

namespace ktx {

namespace {

// What stands in a file's names of Python classes, in lower case, and a model of that kind; none:
// ktx can't make one up. The first that fits counts.
struct PublishedKind {
  const char* word;
  const char* model;
};
constexpr std::array published{
    PublishedKind{"kimi", "synth:kimi-k2,mix=q4_k_m"},
    PublishedKind{"deepseek", "synth:deepseek-v3,mix=q4_k_m"},
    PublishedKind{"qwen3_moe", "synth:qwen3-235b,mix=q4_k_m"},
    PublishedKind{"qwen3moe", "synth:qwen3-235b,mix=q4_k_m"},
    PublishedKind{"modeling_", nullptr},
};
constexpr const char* usual_model = "synth:deepseek-v3,mix=q4_k_m";

// All classes that the file matches, in lower case.
std::string matched_classes(const base::Yaml& file) {
  std::string out;
  for (const auto& rule : file.items)
    if (const auto* match = rule.find("match"))
      if (const auto* name = match->find("class")) out += name->scalar + " ";
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

std::string model_of(const base::Yaml& file) {
  const auto text = matched_classes(file);
  const auto found = std::ranges::find_if(published, [&](const PublishedKind& kind) {
    return text.find(kind.word) != std::string::npos;
  });
  if (found == published.end()) return usual_model;
  if (found->model == nullptr)
    throw_input("these rules are for a model other than DeepSeek, Kimi or Qwen3-MoE", file.where,
                {"name it: --model PATH; its header is enough"});
  return found->model;
}

}  // namespace

std::string import_rules(const ImportOptions& options) {
  const bool overrides = options.ktransformers.empty();
  const auto rules = overrides ? base::Yaml{} : base::read_yaml(options.ktransformers);
  std::string model = options.model.string();
  if (model.empty()) model = overrides ? usual_model : model_of(rules);
  const auto source = engine::open_source(model, {.header_only = true});
  const auto built = engine::build_model(*source);
  const bool gguf = source->kind() == loader::CheckpointKind::gguf;
  const placement::ImportTarget target{built, model,
                                       gguf ? model::Naming::gguf : model::Naming::hugging_face};
  return overrides
             ? placement::import_tensor_overrides(base::join(options.tensor_overrides, ","), target)
             : placement::import_ktransformers(rules, target);
}

}  // namespace ktx
