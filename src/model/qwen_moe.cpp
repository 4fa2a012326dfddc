// Qwen2-MoE (arXiv 2407.10671) and Qwen3-MoE (arXiv 2505.09388).
#include <set>
#include <string>
#include <vector>

#include "model/archs.hpp"
#include "model/gqa.hpp"
#include "model/model_builder.hpp"

namespace ktx::model {
namespace {

/// Which layers have experts, and the MLP of those that have none.
struct Sparsity {
  std::set<int> dense_layers;
  int step = 1;  // every step-th layer has experts
  int dense_intermediate = 0;
};

Sparsity read_sparsity(const Config& config) {
  Sparsity s;
  s.dense_layers = config.layers_or_empty({"mlp_only_layers", {}});
  s.step = config.count_or({"decoder_sparse_step", {}}, 1);
  s.dense_intermediate = config.count({"intermediate_size", "feed_forward_length"});
  return s;
}

bool is_moe(const ModelBuilder& builder, const Sparsity& s, int layer) {
  if (builder.config().gguf()) {  // no key says it: a dense MLP's presence does
    const auto up = tensor_names(Naming::gguf, layer, "mlp.up_proj", "weight");
    return builder.tensors().find(up) == nullptr;
  }
  return !s.dense_layers.contains(layer) && (layer + 1) % s.step == 0;
}

MoeShape read_moe(const ModelBuilder& builder) {
  const Config& config = builder.config();
  MoeShape moe;
  moe.experts =
      config.count({"num_experts", "expert_count", "num_local_experts"}, {.most = limits::experts});
  moe.top_k = config.count({"num_experts_per_tok", "expert_used_count"}, {.most = limits::experts});
  moe.intermediate = builder.count_or_rows(
      {"moe_intermediate_size", "expert_feed_forward_length"},
      [](int layer) { return expert_names(Naming::gguf, layer, "gate").stacked; });
  return moe;
}

/// Sliding window of a layer, 0 for none.
struct Windows {
  int size = 0;
  std::vector<bool> layers;
};

bool is_text(const Json& value, std::string_view text) {
  return value.is_string() && value.get_ref<const std::string&>() == text;
}

Windows read_windows(const ModelBuilder& builder, bool alternating) {
  const Config& config = builder.config();
  Windows w;
  w.layers.assign(static_cast<size_t>(builder.layers()), false);
  const Key size_key{"sliding_window", {}}, most_key{"max_window_layers", {}};
  const Key types_key{"layer_types", {}};
  const Json* types = config.find(types_key);
  if (!config.flag_or({"use_sliding_window", {}}, false)) {  // what describes them says nothing
    config.has(size_key);
    config.has(most_key);
    return w;
  }
  w.size = config.count_or(size_key, 4096, {.lowest = 0, .most = limits::context});
  if (types != nullptr && (!types->is_array() || types->size() != w.layers.size())) {
    config.fail(types_key, "must be a list of one name a layer");
  }
  const int most = config.count_or(most_key, 28, {.lowest = 0});
  for (size_t i = 0; i < w.layers.size(); ++i) {
    w.layers[i] = !alternating       ? true
                  : types != nullptr ? is_text((*types)[i], "sliding_attention")
                                     : i % 2 == 0 && static_cast<int>(i) < most;
  }
  return w;
}

}  // namespace

graph::Model build_qwen2_moe(const Source& source, const Config& config,
                             const std::string& model_type) {
  ModelBuilder builder(source, config, model_type);
  GqaShape shape = read_gqa(builder, RotaryOrder::halves);
  shape.qkv_bias = config.flag_or({"qkv_bias", {}}, true);
  const Sparsity sparsity = read_sparsity(config);
  const Windows windows = read_windows(builder, true);
  MoeShape moe = read_moe(builder);
  moe.router.normalize = config.flag_or({"norm_topk_prob", "expert_weights_norm"}, false);
  const int shared = builder.count_or_rows(
      {"shared_expert_intermediate_size", "expert_shared_feed_forward_length"}, [&](int layer) {
        return tensor_names(config.naming(), layer, "mlp.shared_expert.gate_proj", "weight");
      });
  const ModelBuilder::Classes classes{"linear", "mlp.shared", "mlp", "moe"};
  const auto mlp = [&](int layer, int x) {
    if (!is_moe(builder, sparsity, layer))
      return builder.dense_mlp(layer, x, sparsity.dense_intermediate);
    const int routed = builder.routed_experts(layer, x, moe);
    const int all = builder.gated_mlp(layer, "mlp.shared_expert", x, shared, classes);
    const int gate =
        builder.linear(layer, "mlp.shared_expert_gate", x, 1, builder.hidden(), classes);
    return builder.graph().add(routed, builder.graph().scale_sigmoid(all, gate));
  };
  const auto attention = [&](int layer, int x) {
    return gqa_attention(builder, shape, layer, x,
                         windows.layers[static_cast<size_t>(layer)] ? windows.size : 0);
  };
  return builder.build(attention, mlp);
}

graph::Model build_qwen3_moe(const Source& source, const Config& config,
                             const std::string& model_type) {
  ModelBuilder builder(source, config, model_type);
  GqaShape shape = read_gqa(builder, RotaryOrder::halves);
  shape.qkv_bias = shape.output_bias = config.flag_or({"attention_bias", {}}, false);
  shape.qk_norm = true;
  const Sparsity sparsity = read_sparsity(config);
  const Windows windows = read_windows(builder, false);
  MoeShape moe = read_moe(builder);
  // GGUF files don't keep the flag; every published Qwen3-MoE normalizes.
  moe.router.normalize = config.flag_or({"norm_topk_prob", "expert_weights_norm"}, config.gguf());
  const auto mlp = [&](int layer, int x) {
    return is_moe(builder, sparsity, layer)
               ? builder.routed_experts(layer, x, moe)
               : builder.dense_mlp(layer, x, sparsity.dense_intermediate);
  };
  const auto attention = [&](int layer, int x) {
    return gqa_attention(builder, shape, layer, x,
                         windows.layers[static_cast<size_t>(layer)] ? windows.size : 0);
  };
  return builder.build(attention, mlp);
}

}  // namespace ktx::model
