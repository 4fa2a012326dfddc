// Checkpoint headers for tests: read from a directory's safetensors files, or made by hand.
#pragma once

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.hpp"
#include "core/base/file.hpp"
#include "core/base/json.hpp"
#include "model/model.hpp"

namespace ktx::model::test {

/// A configuration and a list of tensors that a test may change before it asks for the source.
struct Fake {
  Naming naming = Naming::hugging_face;
  Json config = Json::object();
  std::vector<graph::TensorMeta> tensors;
  std::string where = "config.json";
  std::map<std::string, std::vector<float>> values;
  std::vector<std::string> unread;
  bool ignore_unused = false;

  void add(std::string name, std::vector<int64_t> shape,
           quant::Format format = quant::Format::f32) {
    tensors.push_back(
        {.name = std::move(name), .format = format, .shape = std::move(shape), .where = where});
  }
  graph::TensorMeta& at(std::string_view name) {
    return *std::find_if(tensors.begin(), tensors.end(),
                         [&](const graph::TensorMeta& t) { return t.name == name; });
  }
  void remove(std::string_view name) {
    std::erase_if(tensors, [&](const graph::TensorMeta& t) { return t.name == name; });
  }
  void rename(std::string_view from, std::string to) { at(from).name = std::move(to); }

  Source source() const {
    Source s;
    s.naming = naming;
    s.config = &config;
    s.tensors = [this](std::string_view name) -> const graph::TensorMeta* {
      for (const auto& tensor : tensors) {
        if (tensor.name == name) return &tensor;
      }
      return nullptr;
    };
    s.where = where;
    s.listed = tensors;
    s.unread = unread;
    s.ignore_unused = ignore_unused;
    if (!values.empty()) {
      s.values = [this](const graph::TensorMeta& t) { return values.at(t.name); };
    }
    return s;
  }
  graph::Model build() const { return build_model(source()); }
};

inline void add_safetensors(Fake& fake, const std::filesystem::path& file) {
  const std::string text = base::read_text(file);
  const char* const bytes = text.data();
  uint64_t size = 0;
  std::memcpy(&size, bytes, sizeof size);
  const Json header = base::parse_json({bytes + sizeof size, size}, file.string());
  const std::map<std::string, quant::Format> formats{{"F32", quant::Format::f32},
                                                     {"BF16", quant::Format::bf16},
                                                     {"F16", quant::Format::f16},
                                                     {"F8_E4M3", quant::Format::fp8}};
  for (const auto& item : header.items()) {
    if (item.key() == "__metadata__" || item.key().ends_with("weight_scale_inv")) continue;
    fake.add(item.key(), item.value().at("shape").get<std::vector<int64_t>>(),
             formats.at(item.value().at("dtype").get<std::string>()));
  }
}

/// The header of a Hugging Face directory.
inline Fake directory(const std::filesystem::path& path) {
  Fake fake;
  fake.config = base::read_json(path / "config.json");
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(path)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("model") && name.ends_with(".safetensors")) files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  for (const auto& file : files) add_safetensors(fake, file);
  return fake;
}

inline Fake fixture(const std::string& name) {
  return directory(std::filesystem::path(KTX_TEST_DATA) / "arch" / name);
}

/// The expected printout of a model: tests/data/graphs/<name>.txt.
inline std::string golden(const std::string& name) {
  return base::read_text(std::filesystem::path(KTX_TEST_DATA) / "graphs" / (name + ".txt"));
}

/// A GGUF header under construction: keys get the architecture's prefix, tensors their block's.
struct FakeGguf : Fake {
  std::string prefix;

  explicit FakeGguf(const std::string& architecture) : prefix(architecture + ".") {
    naming = Naming::gguf;
    where = "model.gguf";
    config["general.architecture"] = architecture;
  }
  void key(const std::string& name, Json value) { config[prefix + name] = std::move(value); }
  void block(int layer, const std::string& name, std::vector<int64_t> shape,
             quant::Format format = quant::Format::q4_k) {
    add("blk." + std::to_string(layer) + "." + name + ".weight", std::move(shape), format);
  }
  void norm(int layer, const std::string& name, int64_t size) {
    block(layer, name, {size}, quant::Format::f32);
  }
  void ends(int64_t vocab, int64_t hidden) {
    add("token_embd.weight", {vocab, hidden}, quant::Format::q4_k);
    add("output_norm.weight", {hidden});
    add("output.weight", {vocab, hidden}, quant::Format::q6_k);
  }
  /// gate, up [ff, hidden] and down [hidden, ff] under ffn_<name><suffix>.
  void mlp(int layer, const std::string& suffix, int64_t ff, int64_t hidden, int64_t count = 0) {
    for (const char* name : {"ffn_gate", "ffn_up", "ffn_down"}) {
      const bool down = std::string_view(name) == "ffn_down";
      std::vector<int64_t> shape{down ? hidden : ff, down ? ff : hidden};
      if (count > 0) shape.insert(shape.begin(), count);
      block(layer, name + suffix, shape);
    }
  }
};

/// The header of a small DeepSeek-V3 GGUF file: 2 layers, the second with experts. MLA in the new
/// layout (attn_k_b, attn_v_b) or the old one (attn_kv_b).
inline FakeGguf deepseek2(bool new_layout) {
  FakeGguf f("deepseek2");
  f.config["general.name"] = "Tiny";
  for (const auto& [name, value] : std::map<std::string, int>{{"context_length", 4096},
                                                              {"embedding_length", 256},
                                                              {"block_count", 2},
                                                              {"feed_forward_length", 1024},
                                                              {"attention.head_count", 4},
                                                              {"expert_used_count", 8},
                                                              {"leading_dense_block_count", 1},
                                                              {"attention.q_lora_rank", 256},
                                                              {"attention.kv_lora_rank", 512},
                                                              {"expert_feed_forward_length", 256},
                                                              {"expert_count", 32},
                                                              {"expert_shared_count", 1},
                                                              {"expert_gating_func", 2},
                                                              {"expert_group_count", 8},
                                                              {"expert_group_used_count", 4},
                                                              {"rope.dimension_count", 64},
                                                              {"rope.scaling.factor", 4}}) {
    f.key(name, value);
  }
  f.key("attention.layer_norm_rms_epsilon", 9.999999974752427e-07);
  f.key("rope.freq_base", 10000.0);
  f.key("expert_weights_scale", 2.5);
  f.key("expert_weights_norm", true);
  f.key("rope.scaling.type", "yarn");
  f.key("rope.scaling.original_context_length", 1024);
  f.key("rope.scaling.yarn_log_multiplier", 0.10000000149011612);
  f.key("attention.key_length", new_layout ? 576 : 192);
  f.key("attention.value_length", new_layout ? 512 : 128);
  if (new_layout) {
    f.key("attention.key_length_mla", 192);
    f.key("attention.value_length_mla", 128);
  }
  f.ends(4096, 256);
  for (int layer = 0; layer < 2; ++layer) {
    f.norm(layer, "attn_norm", 256);
    f.norm(layer, "ffn_norm", 256);
    f.block(layer, "attn_q_a", {256, 256});
    f.norm(layer, "attn_q_a_norm", 256);
    f.block(layer, "attn_q_b", {768, 256});
    f.block(layer, "attn_kv_a_mqa", {576, 256}, quant::Format::q8_0);
    f.norm(layer, "attn_kv_a_norm", 512);
    if (new_layout) {
      f.block(layer, "attn_k_b", {4, 512, 128}, quant::Format::q8_0);
      f.block(layer, "attn_v_b", {4, 128, 512});
    } else {
      f.block(layer, "attn_kv_b", {1024, 512}, quant::Format::q8_0);
    }
    f.block(layer, "attn_output", {256, 512});
  }
  f.mlp(0, "", 1024, 256);
  f.block(1, "ffn_gate_inp", {32, 256}, quant::Format::f32);
  f.add("blk.1.exp_probs_b.bias", {32});
  f.mlp(1, "_exps", 256, 256, 32);
  f.mlp(1, "_shexp", 256, 256);
  return f;
}

/// The header of a one-layer GGUF file with grouped-query attention: hidden 64, 4 heads of 16 over
/// 2 key heads, vocabulary 100. The MLP is the caller's.
inline FakeGguf gqa_gguf(const std::string& architecture) {
  FakeGguf f(architecture);
  f.key("context_length", 2048);
  f.key("embedding_length", 64);
  f.key("block_count", 1);
  f.key("feed_forward_length", 96);
  f.key("attention.head_count", 4);
  f.key("attention.head_count_kv", 2);
  f.key("attention.layer_norm_rms_epsilon", 1e-5);
  f.key("rope.freq_base", 500000.0);
  f.ends(100, 64);
  f.norm(0, "attn_norm", 64);
  f.norm(0, "ffn_norm", 64);
  f.block(0, "attn_q", {64, 64});
  f.block(0, "attn_k", {32, 64});
  f.block(0, "attn_v", {32, 64});
  f.block(0, "attn_output", {64, 64});
  return f;
}

/// The node that runs the module of that path, or nullptr.
inline const graph::Node* node_of(const graph::Model& model, std::string_view path) {
  for (const graph::Node& node : model.graph.nodes) {
    if (node.module >= 0 && model.modules[static_cast<size_t>(node.module)].path == path) {
      return &node;
    }
  }
  return nullptr;
}

inline const graph::Module* module_of(const graph::Model& model, std::string_view path) {
  for (const graph::Module& module : model.modules) {
    if (module.path == path) return &module;
  }
  return nullptr;
}

/// What an input error says, with its notes; "" when nothing is thrown.
template <typename Function>
std::string error_of(Function function) {
  try {
    function();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace ktx::model::test
