// Multi-head latent attention with its projections, as DeepSeek-V2 and V3 have it.
#include "model/mla.hpp"

#include <cmath>
#include <string>
#include <utility>

#include "model/rope.hpp"

namespace ktx::model {
namespace {

// DeepSeek's code gives the norms within attention no eps of the configuration, but this one.
constexpr float inner_eps = 1e-6f;

const Key rope_key{"qk_rope_head_dim", "rope.dimension_count"};

/// Rows of a tensor of the first layer; 0: it has none.
int first_rows(const ModelBuilder& builder, const char* module) {
  const auto names = tensor_names(builder.config().naming(), 0, module, "weight");
  return builder.tensors().rows_of(names).value_or(0);
}

/// GGUF files keep the head's whole key length, under a second name when their cache is compressed
/// (key_length is then that of the latent). Where they have neither, the tensors say it.
void read_gguf_heads(const ModelBuilder& builder, const MlaShape& shape, graph::MlaParams& p) {
  const Config& config = builder.config();
  const Key mla_key{{}, "attention.key_length_mla"}, mla_value{{}, "attention.value_length_mla"};
  const Key key = config.has(mla_key) ? mla_key : Key{{}, "attention.key_length"};
  const Key value = config.has(mla_value) ? mla_value : Key{{}, "attention.value_length"};
  const char* q = shape.q_lora > 0 ? "self_attn.q_b_proj" : "self_attn.q_proj";
  const int q_rows = config.has(key) ? 0 : first_rows(builder, q) / p.heads;
  const int length = q_rows > 0 ? q_rows : config.count(key, {.most = limits::head_size});
  if (length <= p.rope) {
    config.fail(key, "must be above the " + std::to_string(p.rope) + " of '" +
                         config.spelled(rope_key) + "', found " + std::to_string(length));
  }
  p.nope = length - p.rope;
  const int both = config.has(value) ? 0 : first_rows(builder, "self_attn.kv_b_proj") / p.heads;
  p.v = both > p.nope ? both - p.nope : config.count(value, {.most = limits::head_size});
}

/// k_b and v_b of a layer: two tensors, or the key and value halves of each head in one.
std::vector<graph::Weight> key_value_weights(const ModelBuilder& builder, const graph::MlaParams& p,
                                             int layer) {
  const Tensors& tensors = builder.tensors();
  const Naming naming = builder.config().naming();
  const auto k_names = tensor_names(naming, layer, "self_attn.k_b_proj", "weight");
  const auto both_names = tensor_names(naming, layer, "self_attn.kv_b_proj", "weight");
  if (naming == Naming::gguf && tensors.find(k_names) != nullptr) {
    const auto v_names = tensor_names(naming, layer, "self_attn.v_b_proj", "weight");
    return {tensors.stack("k_b", k_names, p.heads, p.kv_lora, p.nope),
            tensors.stack("v_b", v_names, p.heads, p.v, p.kv_lora)};
  }
  const int64_t head = int64_t{p.nope} + p.v;
  const graph::Weight both = tensors.matrix("kv_b", both_names, p.heads * head, p.kv_lora);
  const std::string& tensor = both.pieces.front().tensor;
  graph::Weight k{.role = "k_b", .source = both.source, .count = p.heads, .rows = p.kv_lora};
  k.cols = p.nope;
  k.transposed = true;
  graph::Weight v{.role = "v_b", .source = both.source, .count = p.heads, .rows = p.v};
  v.cols = p.kv_lora;
  for (int64_t h = 0; h < p.heads; ++h) {
    k.pieces.push_back({.tensor = tensor, .first_row = h * head, .rows = p.nope});
    v.pieces.push_back({.tensor = tensor, .first_row = h * head + p.nope, .rows = p.v});
  }
  return {std::move(k), std::move(v)};
}

}  // namespace

MlaShape read_mla(const ModelBuilder& builder) {
  const Config& config = builder.config();
  MlaShape shape;
  graph::MlaParams& p = shape.params;
  p.heads = config.count({"num_attention_heads", "attention.head_count"}, {.most = limits::heads});
  p.rope = config.count(rope_key, {.lowest = 2, .most = limits::head_size});
  if (p.rope % 2 != 0) config.fail(rope_key, "must be even, found " + std::to_string(p.rope));
  const Key kv_key{"kv_lora_rank", "attention.kv_lora_rank"};
  const int kv_rows = first_rows(builder, "self_attn.kv_a_proj_with_mqa");
  p.kv_lora = config.has(kv_key) || kv_rows <= p.rope ? config.count(kv_key) : kv_rows - p.rope;
  shape.q_lora = config.count_or({"q_lora_rank", "attention.q_lora_rank"},
                                 first_rows(builder, "self_attn.q_a_proj"), {.lowest = 0});
  if (config.gguf()) {
    read_gguf_heads(builder, shape, p);
  } else {
    p.nope = config.count({"qk_nope_head_dim", {}}, {.most = limits::head_size});
    p.v = config.count({"v_head_dim", {}}, {.most = limits::head_size});
  }
  shape.bias = config.flag_or({"attention_bias", {}}, false);
  const RopeScaling scaling = read_rope(config, builder.context());
  p.rotary = make_rope(scaling, p.rope, config.flag_or({"rope_interleave", {}}, true));
  const double plain = 1 / std::sqrt(static_cast<double>(p.nope) + p.rope);
  p.scale = static_cast<float>(plain * attention_factor(scaling));
  return shape;
}

int mla_attention(ModelBuilder& builder, const MlaShape& shape, int layer, int x) {
  const ModelBuilder::Classes linear{"linear", "attention.mla", "attention"};
  const ModelBuilder::Classes norm{"norm", "attention.mla", "attention"};
  graph::MlaParams p = shape.params;
  const int64_t q_size = int64_t{p.heads} * (p.nope + p.rope);
  const auto biased = [&](const char* module) {
    return builder.has_bias(layer, module, shape.bias);
  };
  int q = x;
  if (shape.q_lora > 0) {
    const char* a = "self_attn.q_a_proj";
    q = builder.linear(layer, a, x, shape.q_lora, builder.hidden(), linear, biased(a));
    q = builder.norm(layer, "self_attn.q_a_layernorm", q, shape.q_lora, inner_eps, norm);
    q = builder.linear(layer, "self_attn.q_b_proj", q, q_size, shape.q_lora, linear);
  } else {
    q = builder.linear(layer, "self_attn.q_proj", x, q_size, builder.hidden(), linear);
  }
  const char* kv_a = "self_attn.kv_a_proj_with_mqa";
  const int64_t kv_size = int64_t{p.kv_lora} + p.rope;
  const int kv = builder.linear(layer, kv_a, x, kv_size, builder.hidden(), linear, biased(kv_a));
  const int latent =
      builder.norm(layer, "self_attn.kv_a_layernorm", builder.graph().slice(kv, 0, p.kv_lora),
                   p.kv_lora, inner_eps, norm);
  const int k_rope = builder.graph().slice(kv, p.kv_lora, p.rope);
  p.cache = builder.add_cache({.scaled = p.kv_lora, .group = 128, .exact = p.rope});
  graph::Module module{.path = layer_path(layer, "self_attn.kv_b_proj"),
                       .op = "mla",
                       .classes = {"attention.mla", "attention"},
                       .layer = layer};
  module.weights = key_value_weights(builder, p, layer);
  const int64_t v_size = int64_t{p.heads} * p.v;
  const int out = builder.graph().mla(builder.graph().module(std::move(module)), q, latent, k_rope,
                                      std::move(p));
  const char* o = "self_attn.o_proj";
  return builder.linear(layer, o, out, builder.hidden(), v_size, linear, biased(o));
}

}  // namespace ktx::model
