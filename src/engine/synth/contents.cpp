// What goes into a synthetic checkpoint: its tensors, and the numbers in them.
#include "engine/synth/contents.hpp"

#include <array>
#include <cmath>
#include <deque>
#include <utility>

#include "core/base/error.hpp"
#include "core/base/name_map.hpp"
#include "engine/synth/vocabulary.hpp"

namespace ktx::engine {
namespace {

using graph::TensorMeta;
using quant::Format;

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

/// Tensors that tell apart the layouts of published checkpoints: k_b and v_b instead of kv_b in
/// GGUF, experts stacked there and one by one in Hugging Face's, a head of its own.
constexpr std::array<std::string_view, 7> chosen_layout{"token_embd.weight",
                                                        "output.weight",
                                                        ".attn_k_b.weight",
                                                        "_exps.weight",
                                                        ".experts.0.gate_proj.weight",
                                                        ".experts.0.up_proj.weight",
                                                        ".experts.0.down_proj.weight"};

bool is_in_layout(std::string_view tensor) {
  for (const std::string_view end : chosen_layout)
    if (tensor.ends_with(end)) return true;
  return false;
}

/// Collects the tensors that a model asks for.
class Collector {
 public:
  explicit Collector(const std::vector<int64_t>& embedding) { embedding_.shape = embedding; }

  const TensorMeta* look_up(std::string_view name) const {
    return is_in_layout(name) ? &embedding_ : nullptr;
  }
  const TensorMeta& declare(const std::string& name, const std::vector<int64_t>& shape,
                            Format format) {
    const auto [at, fresh] = by_name_.try_emplace(name, tensors_.size());
    if (fresh) tensors_.push_back({.name = name, .format = format, .shape = shape});
    return tensors_[at->second];
  }
  const std::deque<TensorMeta>& tensors() const noexcept { return tensors_; }

 private:
  TensorMeta embedding_;            // stands for every tensor of the layout
  std::deque<TensorMeta> tensors_;  // their addresses stay
  base::NameMap<size_t> by_name_;
};

/// Mixtral's Hugging Face checkpoints have names of their own for experts and routers.
std::string published_name(const Recipe& recipe, std::string name) {
  if (recipe.naming == model::Naming::gguf || recipe.config.at("model_type") != "mixtral")
    return name;
  constexpr std::pair<std::string_view, std::string_view> parts[] = {
      {".mlp.", ".block_sparse_moe."},
      {".gate_proj.", ".w1."},
      {".up_proj.", ".w3."},
      {".down_proj.", ".w2."}};
  for (const auto& [usual, own] : parts)
    if (const size_t at = name.find(usual); at != std::string::npos)
      name.replace(at, usual.size(), own);
  return name;
}

/// Norms are about 1, the selection bias too small to prefer experts, embeddings 1, and matrices
/// 1 / sqrt(inputs), which keeps the size of what goes through them.
Numbers numbers_of(const TensorMeta& tensor) {
  Numbers numbers{.format = tensor.format};
  const auto inverse_root = [](int64_t n) { return 1 / std::sqrt(static_cast<double>(n)); };
  if (contains(tensor.name, "norm")) {
    numbers.around = true;
    numbers.parameter = 1;
  } else if (tensor.shape.size() == 1) {
    numbers.parameter = 0.01;
  } else if (contains(tensor.name, "embd") || contains(tensor.name, "embed")) {
    numbers.parameter = 1;
  } else if (contains(tensor.name, "attn_k_b")) {  // stored transposed: rows are its inputs
    numbers.parameter = inverse_root(tensor.shape[tensor.shape.size() - 2]);
  } else {
    numbers.parameter = inverse_root(tensor.shape.back());
  }
  return numbers;
}

/// DeepSeek's fp8: codes as large as e4m3's range allows, and a factor for every 128 x 128 of them.
void add_fp8(std::vector<SynthTensor>& out, const TensorMeta& tensor, double deviation) {
  constexpr double code_deviation = 96;  // of normal numbers whose largest is about 448
  out.push_back({tensor.name, tensor.shape, {.format = Format::fp8, .parameter = code_deviation}});
  std::vector<int64_t> blocks;
  for (const int64_t n : tensor.shape) blocks.push_back((n + 127) / 128);
  out.push_back({tensor.name + "_scale_inv",
                 std::move(blocks),
                 {.format = Format::f32, .around = true, .parameter = deviation / code_deviation}});
}

}  // namespace

int64_t SynthTensor::weights() const noexcept {
  int64_t product = 1;
  for (const int64_t n : shape) product *= n;
  return product;
}

uint64_t SynthTensor::bytes() const noexcept {
  const int64_t cols = shape.back();
  const int64_t row = numbers.format == Format::fp8 ? cols : quant::row_bytes(numbers.format, cols);
  return static_cast<uint64_t>(weights() / cols * row);
}

std::string_view SynthTensor::dtype() const {
  switch (numbers.format) {
    case Format::f32:
      return "F32";
    case Format::bf16:
      return "BF16";
    case Format::fp8:
      return "F8_E4M3";
    default:
      throw_bug("safetensors has no format " + std::string(quant::name(numbers.format)), name);
  }
}

Recipe recipe_of(const SynthOptions& options, model::Naming naming) {
  Recipe recipe{.model = &published_model(options.model), .mix = &find_mix(options.mix)};
  recipe.naming = naming;
  recipe.config = changed_config(*recipe.model, {.dense_layers = options.dense_layers,
                                                 .moe_layers = options.moe_layers,
                                                 .experts = options.experts,
                                                 .sizes = options.sizes});
  if (naming == model::Naming::gguf) recipe.metadata = gguf_metadata(*recipe.model, recipe.config);
  return recipe;
}

Json full_config(const Recipe& recipe) {
  if (recipe.naming == model::Naming::gguf) {
    Json metadata = recipe.metadata;
    metadata["general.file_type"] = static_cast<uint64_t>(recipe.mix->file_type);
    metadata.update(gguf_vocabulary(*recipe.model, recipe.config));
    return metadata;
  }
  Json config = recipe.config;
  config["torch_dtype"] = "bfloat16";
  if (recipe.mix->matrices == quant::Format::fp8)
    config["quantization_config"] = {{"activation_scheme", "dynamic"},
                                     {"fmt", "e4m3"},
                                     {"quant_method", "fp8"},
                                     {"weight_block_size", {128, 128}}};
  return config;
}

std::vector<SynthTensor> contents(const Recipe& recipe) {
  const bool gguf = recipe.naming == model::Naming::gguf;
  const auto size = [&](const char* key) { return recipe.config.at(key).get<int>(); };
  const int dense =
      recipe.config.contains("first_k_dense_replace") ? size("first_k_dense_replace") : 0;
  const Layers layers{.all = size("num_hidden_layers"), .dense = dense};
  Collector collector({size("vocab_size"), size("hidden_size")});
  const auto declare = [&](const std::string& name, const std::vector<int64_t>& shape) -> auto& {
    const Format format = gguf ? gguf_format(*recipe.mix, name, shape, layers)
                               : hugging_face_format(*recipe.mix, name, shape);
    return collector.declare(name, shape, format);
  };
  (void)model::build_model(
      {.naming = recipe.naming,
       .config = gguf ? &recipe.metadata : &recipe.config,
       .tensors = [&](std::string_view name) { return collector.look_up(name); },
       .where = std::string(recipe.model->name),
       .declare = declare});
  std::vector<SynthTensor> out;
  for (TensorMeta tensor : collector.tensors()) {
    tensor.name = published_name(recipe, std::move(tensor.name));
    const Numbers numbers = numbers_of(tensor);
    if (tensor.format == Format::fp8) {
      add_fp8(out, tensor, numbers.parameter);
    } else {
      out.push_back({tensor.name, tensor.shape, numbers});
    }
  }
  return out;
}

}  // namespace ktx::engine
