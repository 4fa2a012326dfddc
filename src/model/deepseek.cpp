// DeepSeek-V2 (arXiv 2405.04434) and DeepSeek-V3 (arXiv 2412.19437), which R1 and Kimi-K2 share.
#include <string>
#include <utility>

#include "model/archs.hpp"
#include "model/mla.hpp"
#include "model/net.hpp"

namespace ktx::model {
namespace {

const Key groups_key{"n_group", "expert_group_count"};
const Key top_groups_key{"topk_group", "expert_group_used_count"};
const Key method_key{"topk_method", {}};
const Key scoring_key{"scoring_func", {}};
const Key gating_key{{}, "expert_gating_func"};  // 1 softmax, 2 sigmoid
const Key mtp_key{{}, "nextn_predict_layers"};
const Key normalize_key{"norm_topk_prob", "expert_weights_norm"};
const Key scale_key{"routed_scaling_factor", "expert_weights_scale"};

struct Shape {
  MlaShape attention;
  MoeShape moe;
  int shared = 0;  // shared experts; they are stored and run as one wide one
  int dense_intermediate = 0, dense_layers = 0, every = 1;

  bool is_moe(int layer) const { return layer >= dense_layers && layer % every == 0; }
};

void expect_text(const Config& config, const Key& key, const std::string& expected) {
  const std::string found = config.text_or(key, expected);
  if (found != expected) config.fail(key, "must be \"" + expected + "\", found \"" + found + "\"");
}

/// Groups of experts, of which a token sees the best. GGUF files made before the keys existed leave
/// them out; one group is then what they were always run with.
void read_groups(const Config& config, MoeShape& moe) {
  graph::RouterParams& r = moe.router;
  r.groups = config.count_or(groups_key, 1);
  r.top_groups = config.count_or(top_groups_key, r.groups);
  if (r.groups > graph::max_selected) {
    config.fail(groups_key, "must be at most " + std::to_string(graph::max_selected) + ", found " +
                                std::to_string(r.groups));
  }
  if (moe.experts % r.groups != 0) {
    config.fail(groups_key, "must divide the " + std::to_string(moe.experts) + " experts, found " +
                                std::to_string(r.groups));
  }
  if (r.top_groups > r.groups) {
    config.fail(top_groups_key, "must be at most the " + std::to_string(r.groups) +
                                    " groups, found " + std::to_string(r.top_groups));
  }
  if (r.group_by_top2 && r.groups > 1 && moe.experts / r.groups < 2) {
    config.fail(groups_key, "must leave two experts a group, found " + std::to_string(r.groups) +
                                " groups of " + std::to_string(moe.experts) + " experts");
  }
}

/// V3: sigmoid scores, a bias for selection, groups by their two best.
void read_v3_router(const Config& config, MoeShape& moe) {
  expect_text(config, scoring_key, "sigmoid");
  expect_text(config, method_key, "noaux_tc");
  moe.selection_bias = true;
  moe.router.sigmoid = moe.router.group_by_top2 = true;
  moe.router.normalize = config.flag_or(normalize_key, true);
  moe.router.scale = static_cast<float>(config.number_or(scale_key, 1));
  read_groups(config, moe);
}

/// V2: softmax scores, groups by their best.
void read_v2_router(const Config& config, MoeShape& moe) {
  expect_text(config, scoring_key, "softmax");
  const std::string method =
      config.text_or(method_key, config.gguf() ? "group_limited_greedy" : "greedy");
  if (method == "group_limited_greedy") {
    read_groups(config, moe);
  } else if (method != "greedy") {
    config.fail(method_key,
                "must be \"greedy\" or \"group_limited_greedy\", found \"" + method + "\"");
  }
  moe.router.normalize = config.flag_or(normalize_key, false);
  // DeepSeek's own code scales only what it doesn't normalize. (Transformers 5 never normalizes
  // here; every published V2 has norm_topk_prob false, where the two agree.)
  moe.router.scale =
      moe.router.normalize ? 1.0f : static_cast<float>(config.number_or(scale_key, 1));
}

/// Layers that are run: GGUF files may count multi-token-prediction layers as blocks.
int run_layers(const Net& net, const Source& source) {
  const int blocks = net.layers();
  if (!net.config().gguf()) return blocks;
  const int mtp = net.config().count_or(mtp_key, 0, 0);
  if (mtp == 0 || mtp >= blocks) return blocks;
  const std::string prefix = layer_prefix(Naming::gguf, blocks - mtp);
  const bool counted = source.tensors(prefix + "nextn.eh_proj.weight") != nullptr ||
                       source.tensors(prefix + "attn_norm.weight") == nullptr;
  return counted ? blocks - mtp : blocks;
}

Shape read_shape(const Net& net) {
  const Config& config = net.config();
  Shape s;
  s.attention = read_mla(net);
  s.dense_intermediate = config.count({"intermediate_size", "feed_forward_length"});
  s.dense_layers = config.count_or({"first_k_dense_replace", "leading_dense_block_count"}, 0, 0);
  s.every = config.count_or({"moe_layer_freq", {}}, 1);
  s.shared = config.count_or({"n_shared_experts", "expert_shared_count"}, 0, 0);
  s.moe.experts = config.count({"n_routed_experts", "expert_count", "num_local_experts"});
  s.moe.top_k = config.count({"num_experts_per_tok", "expert_used_count"});
  s.moe.intermediate = config.count({"moe_intermediate_size", "expert_feed_forward_length"});
  return s;
}

int mlp(Net& net, const Shape& s, int layer, int x) {
  if (!s.is_moe(layer)) return net.dense_mlp(layer, x, s.dense_intermediate);
  const int routed = net.routed_experts(layer, x, s.moe);
  if (s.shared == 0) return routed;
  const int shared =
      net.gated_mlp(layer, "mlp.shared_experts", x, int64_t{s.shared} * s.moe.intermediate,
                    {"linear", "mlp.shared", "mlp", "moe"});
  return net.graph().add(routed, shared);
}

/// The checkpoint's layers after the last one that is run.
void add_mtp(Net& net) {
  for (int layer = net.layers();; ++layer) {
    graph::Module module{
        .path = "model.layers." + std::to_string(layer), .classes = {"mtp"}, .layer = layer};
    module.weights = net.tensors().all_below(layer_prefix(net.config().naming(), layer));
    if (module.weights.empty()) return;
    module.unused = "predicts further tokens, which ktx doesn't use";
    net.add_unused(std::move(module));
  }
}

graph::Model build(Net& net, const Shape& shape) {
  add_mtp(net);
  return net.build([&](int layer, int x) { return mla_attention(net, shape.attention, layer, x); },
                   [&](int layer, int x) { return mlp(net, shape, layer, x); });
}

}  // namespace

bool is_deepseek_v3(const Config& config, const Source& source) {
  if (config.has(gating_key)) {
    const int function = config.count(gating_key);
    if (function > 2) {
      config.fail(gating_key,
                  "must be 1 (softmax) or 2 (sigmoid), found " + std::to_string(function));
    }
    return function == 2;
  }
  // Files without the key: V2, or an early V3, which alone has a selection bias.
  const int layer = config.count_or({{}, "leading_dense_block_count"}, 0, 0);
  return Tensors(source).find(
             tensor_names(Naming::gguf, layer, "mlp.gate.e_score_correction", "bias")) != nullptr;
}

graph::Model build_deepseek_v2(const Source& source, const Config& config,
                               const std::string& model_type) {
  Net net(source, config, model_type);
  net.set_layers(run_layers(net, source));
  Shape shape = read_shape(net);
  read_v2_router(config, shape.moe);
  return build(net, shape);
}

graph::Model build_deepseek_v3(const Source& source, const Config& config,
                               const std::string& model_type) {
  Net net(source, config, model_type);
  net.set_layers(run_layers(net, source));
  Shape shape = read_shape(net);
  read_v3_router(config, shape.moe);
  return build(net, shape);
}

}  // namespace ktx::model
