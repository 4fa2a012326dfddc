// The blocks that architectures share, as modules and graph nodes.
#include "model/model_builder.hpp"

#include <utility>

#include "core/base/printable.hpp"

namespace ktx::model {
namespace {

const Key vocab_key{"vocab_size", {}};
const Key top_k_key{"num_experts_per_tok", "expert_used_count"};

/// The groups that a token may choose from must hold at least top_k experts.
void check_top_k(const Config& config, const MoeShape& shape) {
  const graph::RouterParams& r = shape.router;
  const int most = shape.experts / r.groups * r.top_groups;
  if (shape.top_k <= most && shape.top_k <= graph::max_selected) return;
  if (shape.top_k <= most) {
    config.fail(top_k_key, "must be at most " + std::to_string(graph::max_selected) + ", found " +
                               std::to_string(shape.top_k));
  }
  const std::string groups = r.groups == 1 ? ""
                                           : " (" + std::to_string(r.top_groups) + " of " +
                                                 std::to_string(r.groups) + " groups of " +
                                                 std::to_string(shape.experts / r.groups) + ")";
  config.fail(top_k_key, "must be at most the " + std::to_string(most) +
                             " experts that a token may choose from" + groups + ", found " +
                             std::to_string(shape.top_k));
}

}  // namespace

ModelBuilder::ModelBuilder(const Source& source, const Config& config, std::string architecture)
    : config_(config), tensors_(source), graph_(model_) {
  graph::ModelInfo& info = model_.info;
  info.architecture = std::move(architecture);
  const auto name = source.config->find("general.name");
  if (config.gguf() && name != source.config->end() && name->is_string()) {
    info.name = base::printable(name->get<std::string>());
  }
  info.layers = config.count({"num_hidden_layers", "block_count"}, {.most = limits::layers});
  info.hidden = config.count({"hidden_size", "embedding_length"});
  info.context = config.tokens({"max_position_embeddings", "context_length"});
  eps_ = static_cast<float>(config.number({"rms_norm_eps", "attention.layer_norm_rms_epsilon"}));
  const Key act{"hidden_act", {}};
  if (const std::string name_of_act = config.text_or(act, "silu");
      name_of_act != "silu" && name_of_act != "swish") {
    config.fail(act, "must be \"silu\", found \"" + name_of_act + "\"");
  }
  if (config.gguf()) {
    const auto names = tensor_names(Naming::gguf, -1, "model.embed_tokens", "weight");
    tensors_.need(names);
    // The tokenizer's list may be shorter: embeddings are padded. The tensor decides.
    info.vocab = tensors_.rows_of(names, limits::vocabulary).value_or(1);
  } else {
    info.vocab = config.count(vocab_key, {.most = limits::vocabulary});
  }
}

int ModelBuilder::count_or_rows(
    const Key& key, const std::function<std::vector<std::string>(int layer)>& names) const {
  const int looked_at = config_.has(key) ? 0 : layers();
  for (int layer = 0; layer < looked_at; ++layer) {
    if (const auto rows = tensors_.rows_of(names(layer))) return *rows;
  }
  return config_.count(key);
}

int ModelBuilder::norm(int layer, std::string_view module, int x, int64_t size, float eps,
                       Classes classes) {
  const std::string path = layer < 0 ? std::string(module) : layer_path(layer, module);
  graph::Module made{.path = path, .op = "rms_norm", .classes = std::move(classes), .layer = layer};
  made.weights = {
      tensors_.vector("weight", tensor_names(config_.naming(), layer, module, "weight"), size)};
  return graph_.rms_norm(graph_.module(std::move(made)), x, eps);
}

int ModelBuilder::linear(int layer, std::string_view module, int x, int64_t out, int64_t in,
                         Classes classes, bool bias) {
  const Naming naming = config_.naming();
  graph::Module made{.path = layer_path(layer, module),
                     .op = "linear",
                     .classes = std::move(classes),
                     .layer = layer};
  made.weights = {
      tensors_.matrix("weight", tensor_names(naming, layer, module, "weight"), out, in)};
  if (bias) {
    made.weights.push_back(
        tensors_.vector("bias", tensor_names(naming, layer, module, "bias"), out));
  }
  return graph_.linear(graph_.module(std::move(made)), x);
}

bool ModelBuilder::has_bias(int layer, std::string_view module, bool flag) const {
  if (!config_.gguf()) return flag;
  return tensors_.find(tensor_names(Naming::gguf, layer, module, "bias")) != nullptr;
}

int ModelBuilder::gated_mlp(int layer, const std::string& prefix, int x, int64_t intermediate,
                            const Classes& classes, bool bias) {
  const std::string gate = prefix + ".gate_proj", up = prefix + ".up_proj",
                    down = prefix + ".down_proj";
  const int g =
      linear(layer, gate, x, intermediate, hidden(), classes, has_bias(layer, gate, bias));
  const int u = linear(layer, up, x, intermediate, hidden(), classes, has_bias(layer, up, bias));
  return linear(layer, down, graph_.silu_mul(g, u), hidden(), intermediate, classes,
                has_bias(layer, down, bias));
}

int ModelBuilder::dense_mlp(int layer, int x, int intermediate, bool bias) {
  return gated_mlp(layer, "mlp", x, intermediate, {"linear", "mlp.dense", "mlp"}, bias);
}

int ModelBuilder::routed_experts(int layer, int x, const MoeShape& shape) {
  check_top_k(config_, shape);
  const Naming naming = config_.naming();
  graph::ModelInfo& info = model_.info;
  info.experts = shape.experts;
  info.experts_per_token = shape.top_k;
  info.moe_layers.push_back(layer);

  graph::RouterParams params = shape.router;
  params.experts = shape.experts;
  params.top_k = shape.top_k;
  graph::Module gate{.path = layer_path(layer, "mlp.gate"),
                     .op = "router",
                     .classes = {"moe.router", "moe"},
                     .layer = layer};
  gate.weights = {tensors_.matrix("weight", tensor_names(naming, layer, "mlp.gate", "weight"),
                                  shape.experts, hidden())};
  if (shape.selection_bias) {
    gate.weights.push_back(tensors_.vector(
        "bias", tensor_names(naming, layer, "mlp.gate.e_score_correction", "bias"), shape.experts));
  }
  const int routing = graph_.router(graph_.module(std::move(gate)), x, params);

  graph::Module experts{.path = layer_path(layer, "mlp.experts"),
                        .op = "moe",
                        .classes = {"moe.experts", "moe"},
                        .layer = layer};
  experts.weights = {tensors_.experts("gate", layer, shape.experts, shape.intermediate, hidden()),
                     tensors_.experts("up", layer, shape.experts, shape.intermediate, hidden()),
                     tensors_.experts("down", layer, shape.experts, hidden(), shape.intermediate)};
  return graph_.moe(graph_.module(std::move(experts)), x, routing,
                    {.experts = shape.experts,
                     .top_k = params.top_k,
                     .hidden = hidden(),
                     .intermediate = shape.intermediate});
}

int ModelBuilder::add_cache(const graph::KvRow& row) {
  model_.info.caches.push_back(row);
  return static_cast<int>(model_.info.caches.size()) - 1;
}

int ModelBuilder::embedding() {
  graph::Module module{.path = "model.embed_tokens", .op = "embedding", .classes = {"embedding"}};
  module.weights = {tensors_.matrix("weight",
                                    tensor_names(config_.naming(), -1, module.path, "weight"),
                                    model_.info.vocab, hidden())};
  return graph_.embedding(graph_.module(std::move(module)));
}

int ModelBuilder::head(int x) {
  const Key tie{"tie_word_embeddings", {}};
  auto names = tensor_names(config_.naming(), -1, "lm_head", "weight");
  // A head that is neither there nor declared absent is an error. GGUF files don't declare it.
  const bool absent = may_tie_ && config_.gguf() && tensors_.find(names) == nullptr;
  const bool tied = config_.flag_or(tie, absent);
  if (tied) names = tensor_names(config_.naming(), -1, "model.embed_tokens", "weight");
  graph::Module module{.path = "lm_head", .op = "linear", .classes = {"head", "linear"}};
  module.weights = {tensors_.matrix("weight", names, model_.info.vocab, hidden())};
  return graph_.linear(graph_.module(std::move(module)), x);
}

graph::Model ModelBuilder::build(const Block& attention, const Block& mlp) {
  int x = embedding();
  for (int layer = 0; layer < layers(); ++layer) {
    graph_.set_layer(layer);
    const int a = attention(layer, norm(layer, "input_layernorm", x, hidden(), eps_, {"norm"}));
    x = graph_.add(x, a);
    const int m = mlp(layer, norm(layer, "post_attention_layernorm", x, hidden(), eps_, {"norm"}));
    x = graph_.add(x, m);
  }
  graph_.set_layer(-1);
  x = graph_.last_rows(x);
  graph_.logits(head(norm(-1, "model.norm", x, hidden(), eps_, {"norm"})));
  return std::move(model_);
}

}  // namespace ktx::model
