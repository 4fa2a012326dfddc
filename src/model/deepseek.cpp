// DeepSeek-V2 (arXiv 2405.04434) and DeepSeek-V3 (arXiv 2412.19437), which R1 and Kimi-K2 share.
#include <algorithm>
#include <array>
#include <string>
#include <utility>

#include "core/base/log.hpp"
#include "model/archs.hpp"
#include "model/mla.hpp"
#include "model/model_builder.hpp"

namespace ktx::model {
namespace {

const Key groups_key{"n_group", "expert_group_count"};
const Key top_groups_key{"topk_group", "expert_group_used_count"};
const Key method_key{"topk_method", {}};
const Key scoring_key{"scoring_func", {}};
const Key gating_key{{}, "expert_gating_func"};  // 0 as if absent, 1 softmax, 2 sigmoid
const Key mtp_key{{}, "nextn_predict_layers"};
const Key normalize_key{"norm_topk_prob", "expert_weights_norm"};
const Key scale_key{"routed_scaling_factor", "expert_weights_scale"};

struct Shape {
  MlaShape attention;
  MoeShape moe;
  int64_t shared = 0;  // columns of the shared experts, which are stored and run as one wide one
  int dense_intermediate = 0, dense_layers = 0, every = 1;

  bool is_moe(int layer) const { return layer >= dense_layers && layer % every == 0; }
};

void expect_text(const Config& config, const Key& key, const std::string& expected) {
  const std::string found = config.text_or(key, expected);
  if (found != expected) config.fail(key, "must be \"" + expected + "\", found \"" + found + "\"");
}

/// What is taken for a key that the configuration lacks is said.
void say_missing(const Config& config, const Key& key, const std::string& taken) {
  base::log(LogLevel::warning,
            config.where() + ": '" + config.spelled(key) + "' is missing: " + taken);
}

/// Groups of published models, known by their numbers of experts.
struct PublishedGroups {
  int experts, top_k, groups, top_groups;
  const char* model;
};
constexpr std::array<PublishedGroups, 4> published_groups{{{256, 8, 8, 4, "DeepSeek-V3"},
                                                           {160, 6, 8, 3, "DeepSeek-V2"},
                                                           {384, 8, 1, 1, "Kimi-K2"},
                                                           {64, 6, 1, 1, "DeepSeek-V2-Lite"}}};

/// GGUF files made before the keys existed leave them out, or have zeros.
void guess_groups(const Config& config, MoeShape& moe) {
  const auto row = std::find_if(published_groups.begin(), published_groups.end(), [&](auto& r) {
    return r.experts == moe.experts && r.top_k == moe.top_k;
  });
  if (row == published_groups.end()) {
    say_missing(config, groups_key, "experts are chosen without groups");
    return;
  }
  moe.router.groups = row->groups;
  moe.router.top_groups = row->top_groups;
  if (row->groups > 1) {
    say_missing(config, groups_key,
                std::to_string(row->groups) + " groups are taken, of which a token sees " +
                    std::to_string(row->top_groups) + ", as " + row->model + " has them");
  }
}

/// Groups of experts, of which a token sees the best.
void read_groups(const Config& config, MoeShape& moe) {
  graph::RouterParams& r = moe.router;
  r.groups = config.count_or(groups_key, 0, {.lowest = 0, .most = limits::experts});
  r.top_groups = config.count_or(top_groups_key, 0, {.lowest = 0, .most = limits::experts});
  if (r.groups == 0) {
    r.groups = r.top_groups = 1;
    return guess_groups(config, moe);
  }
  if (r.top_groups == 0) r.top_groups = r.groups;
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
    config.fail(groups_key,
                "must leave two experts or more per group, found " + std::to_string(r.groups) +
                    " groups of " + std::to_string(moe.experts) + " experts",
                {"so many groups take " + std::to_string(2 * r.groups) + " experts or more"});
  }
}

/// V3: sigmoid scores, a bias for selection, groups by their two best.
void read_v3_router(const Config& config, MoeShape& moe) {
  expect_text(config, scoring_key, "sigmoid");
  expect_text(config, method_key, "noaux_tc");
  moe.selection_bias = true;
  moe.router.sigmoid = moe.router.group_by_top2 = true;
  moe.router.normalize = config.flag_or(normalize_key, true);
  if (!config.has(normalize_key)) say_missing(config, normalize_key, "taken as true, as in V3");
  moe.router.scale = static_cast<float>(config.number(scale_key));
  read_groups(config, moe);
}

/// V2: softmax scores, groups by their best.
void read_v2_router(const Config& config, MoeShape& moe) {
  expect_text(config, scoring_key, "softmax");
  const std::string method =
      config.text_or(method_key, config.gguf() ? "group_limited_greedy" : "greedy");
  if (method == "group_limited_greedy") {
    read_groups(config, moe);
  } else if (method == "greedy") {
    config.has(groups_key);  // of one expert after the other groups say nothing
    config.has(top_groups_key);
  } else {
    config.fail(method_key,
                "must be \"greedy\" or \"group_limited_greedy\", found \"" + method + "\"");
  }
  moe.router.normalize = config.flag_or(normalize_key, false);
  if (!config.has(normalize_key)) say_missing(config, normalize_key, "taken as false, as in V2");
  // DeepSeek's own code scales only what it doesn't normalize. (Transformers 5 never normalizes
  // here; every published V2 has norm_topk_prob false, where the two agree.)
  const auto scale = static_cast<float>(config.number(scale_key));
  moe.router.scale = moe.router.normalize ? 1.0f : scale;
}

/// Layers that are run: GGUF files may count multi-token-prediction layers as blocks.
int run_layers(const ModelBuilder& builder, const Source& source) {
  const int blocks = builder.layers();
  if (!builder.config().gguf()) return blocks;
  const int mtp = builder.config().count_or(mtp_key, 0, {.lowest = 0, .most = limits::layers});
  if (mtp == 0 || mtp >= blocks) return blocks;
  const std::string prefix = layer_prefix(Naming::gguf, blocks - mtp);
  const bool counted = source.tensors(prefix + "nextn.eh_proj.weight") != nullptr ||
                       source.tensors(prefix + "attn_norm.weight") == nullptr;
  return counted ? blocks - mtp : blocks;
}

/// Layers before the first one that has a router.
int count_dense_layers(const ModelBuilder& builder) {
  int layer = 0;
  const auto has_router = [&] {
    return builder.tensors().find(
        tensor_names(builder.config().naming(), layer, "mlp.gate", "weight"));
  };
  while (layer < builder.layers() && has_router() == nullptr) ++layer;
  return layer;
}

/// Columns of the shared experts; 0: there are none.
int64_t read_shared(const ModelBuilder& builder, const Shape& s) {
  const Config& config = builder.config();
  const Key key{"n_shared_experts", "expert_shared_count"};
  if (config.has(key))
    return int64_t{config.count(key, {.lowest = 0, .most = limits::experts})} * s.moe.intermediate;
  int layer = 0;
  while (layer < builder.layers() && !s.is_moe(layer)) ++layer;
  const auto names = tensor_names(config.naming(), layer, "mlp.shared_experts.gate_proj", "weight");
  return builder.tensors().rows_of(names).value_or(0);
}

Shape read_shape(const ModelBuilder& builder) {
  const Config& config = builder.config();
  Shape s;
  s.attention = read_mla(builder);
  s.dense_intermediate = config.count({"intermediate_size", "feed_forward_length"});
  const Key dense_key{"first_k_dense_replace", "leading_dense_block_count"};
  s.dense_layers = config.has(dense_key)
                       ? config.count(dense_key, {.lowest = 0, .most = limits::layers})
                       : count_dense_layers(builder);
  s.every = config.count_or({"moe_layer_freq", {}}, 1);
  s.moe.experts = config.count({"n_routed_experts", "expert_count", "num_local_experts"},
                               {.most = limits::experts});
  s.moe.top_k =
      config.count({"num_experts_per_tok", "expert_used_count"}, {.most = limits::experts});
  s.moe.intermediate = builder.count_or_rows(
      {"moe_intermediate_size", "expert_feed_forward_length"},
      [&](int layer) { return expert_names(config.naming(), layer, "gate").stacked; });
  s.shared = read_shared(builder, s);
  return s;
}

int mlp(ModelBuilder& builder, const Shape& s, int layer, int x) {
  if (!s.is_moe(layer)) return builder.dense_mlp(layer, x, s.dense_intermediate);
  const int routed = builder.routed_experts(layer, x, s.moe);
  if (s.shared == 0) return routed;
  const int shared = builder.gated_mlp(layer, "mlp.shared_experts", x, s.shared,
                                       {"linear", "mlp.shared", "mlp", "moe"});
  return builder.graph().add(routed, shared);
}

graph::Model build(ModelBuilder& builder, const Shape& shape) {
  return builder.build(
      [&](int layer, int x) { return mla_attention(builder, shape.attention, layer, x); },
      [&](int layer, int x) { return mlp(builder, shape, layer, x); });
}

}  // namespace

bool is_deepseek_v3(const Config& config, const Source& source) {
  if (const int function = config.count_or(gating_key, 0, {.lowest = 0}); function != 0) {
    if (function > 2) {
      config.fail(gating_key,
                  "must be 1 (softmax) or 2 (sigmoid), found " + std::to_string(function));
    }
    return function == 2;
  }
  // Files without the key: V2, or an early V3, which alone has a selection bias.
  return std::any_of(source.listed.begin(), source.listed.end(), [](const auto& tensor) {
    return tensor.name.find(".exp_probs_b") != std::string::npos;
  });
}

graph::Model build_deepseek_v2(const Source& source, const Config& config,
                               const std::string& model_type) {
  ModelBuilder builder(source, config, model_type);
  builder.set_layers(run_layers(builder, source));
  Shape shape = read_shape(builder);
  read_v2_router(config, shape.moe);
  return build(builder, shape);
}

graph::Model build_deepseek_v3(const Source& source, const Config& config,
                               const std::string& model_type) {
  ModelBuilder builder(source, config, model_type);
  builder.set_layers(run_layers(builder, source));
  Shape shape = read_shape(builder);
  read_v3_router(config, shape.moe);
  return build(builder, shape);
}

}  // namespace ktx::model
