// Models, machines and rules made up for the placement tests: nothing here asks the host.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/base/yaml.hpp"
#include "core/graph/graph.hpp"
#include "core/hw/machine.hpp"
#include "ktx/error.hpp"
#include "placement/rules.hpp"

namespace ktx::placement::sample {

struct DeepSeek {
  int layers = 4, dense = 1, mtp = 1;
  int64_t hidden = 256, heads = 4, q_lora = 128, kv_lora = 512, nope = 128, rope = 64, v = 128;
  int64_t intermediate = 512, expert_width = 256, vocab = 1024;
  int experts = 32, top_k = 8, groups = 8, top_groups = 4;
  quant::Format matrices = quant::Format::bf16;
  quant::Format down = quant::Format::bf16;  // of the experts of even layers
  bool split_kv_b = true;                    // k_b (transposed q8_0) and v_b
};

/// DeepSeek-V3 with every matrix a module, as its architecture file makes it.
class Builder {
 public:
  explicit Builder(const DeepSeek& shape) : s_(shape), graph_(model_) {}

  graph::Model build() {
    model_.info = {.architecture = "deepseek_v3", .name = "sample", .layers = s_.layers};
    model_.info.hidden = static_cast<int>(s_.hidden);
    model_.info.vocab = static_cast<int>(s_.vocab);
    model_.info.experts = s_.experts;
    model_.info.experts_per_token = s_.top_k;
    int x = graph_.embedding(
        matrix("model.embed_tokens", "embedding", {"embedding"}, s_.vocab, s_.hidden));
    for (layer_ = 0; layer_ < s_.layers; ++layer_) x = layer(x);
    add_mtp();
    layer_ = -1;
    graph_.set_layer(-1);
    x = graph_.rms_norm(norm("model.norm", s_.hidden, {"norm"}), graph_.last_rows(x), 1e-6f);
    graph_.logits(
        graph_.linear(matrix("lm_head", "linear", {"head", "linear"}, s_.vocab, s_.hidden), x));
    return std::move(model_);
  }

 private:
  using Names = std::vector<std::string>;

  std::string path(const std::string& tail) const {
    return "model.layers." + std::to_string(layer_) + "." + tail;
  }
  graph::Weight weight(std::string role, int64_t count, int64_t rows, int64_t cols,
                       quant::Format format) const {
    graph::Weight w{.role = std::move(role), .source = format, .count = count, .rows = rows};
    w.cols = cols;
    w.pieces = {{.tensor = "t", .rows = count * rows}};
    return w;
  }
  int module(std::string name, std::string op, Names classes, std::vector<graph::Weight> weights) {
    return graph_.module({.path = std::move(name),
                          .op = std::move(op),
                          .classes = std::move(classes),
                          .layer = layer_,
                          .weights = std::move(weights)});
  }
  int matrix(std::string name, std::string op, Names classes, int64_t rows, int64_t cols) {
    return module(std::move(name), std::move(op), std::move(classes),
                  {weight("weight", 1, rows, cols, s_.matrices)});
  }
  int norm(std::string name, int64_t width, Names classes) {
    return module(std::move(name), "rms_norm", std::move(classes),
                  {weight("weight", 1, 1, width, quant::Format::f32)});
  }
  int linear(const std::string& tail, Names classes, int64_t rows, int64_t cols, int x) {
    classes.insert(classes.begin(), "linear");
    return graph_.linear(matrix(path(tail), "linear", std::move(classes), rows, cols), x);
  }

  int attention(int x) {
    const Names in{"attention.mla", "attention"};
    Names norm_in = in;
    norm_in.insert(norm_in.begin(), "norm");
    int q = linear("self_attn.q_a_proj", in, s_.q_lora, s_.hidden, x);
    q = graph_.rms_norm(norm(path("self_attn.q_a_layernorm"), s_.q_lora, norm_in), q, 1e-6f);
    q = linear("self_attn.q_b_proj", in, s_.heads * (s_.nope + s_.rope), s_.q_lora, q);
    const int kv = linear("self_attn.kv_a_proj_with_mqa", in, s_.kv_lora + s_.rope, s_.hidden, x);
    const int latent = graph_.rms_norm(norm(path("self_attn.kv_a_layernorm"), s_.kv_lora, norm_in),
                                       graph_.slice(kv, 0, s_.kv_lora), 1e-6f);
    auto k_b = weight("k_b", s_.heads, s_.kv_lora, s_.nope,
                      s_.split_kv_b ? quant::Format::q8_0 : quant::Format::bf16);
    k_b.transposed = true;
    k_b.pieces.front().rows = s_.heads * s_.nope;
    auto v_b = weight("v_b", s_.heads, s_.v, s_.kv_lora, s_.matrices);
    graph::MlaParams params{.heads = static_cast<int>(s_.heads),
                            .nope = static_cast<int>(s_.nope),
                            .rope = static_cast<int>(s_.rope),
                            .v = static_cast<int>(s_.v),
                            .kv_lora = static_cast<int>(s_.kv_lora),
                            .scale = 0.1f};
    params.rotary.frequency.assign(static_cast<size_t>(s_.rope) / 2, 1.0f);
    params.cache = static_cast<int>(model_.info.caches.size());
    model_.info.caches.push_back({.scaled = s_.kv_lora, .group = 128, .exact = s_.rope});
    const int out = graph_.mla(module(path("self_attn.kv_b_proj"), "mla", in, {k_b, v_b}), q,
                               latent, graph_.slice(kv, s_.kv_lora, s_.rope), params);
    return linear("self_attn.o_proj", in, s_.hidden, s_.heads * s_.v, out);
  }

  int gated_mlp(const std::string& at, Names in, int64_t width, int x) {
    const int gate = linear(at + ".gate_proj", in, width, s_.hidden, x);
    const int up = linear(at + ".up_proj", in, width, s_.hidden, x);
    return linear(at + ".down_proj", in, s_.hidden, width, graph_.silu_mul(gate, up));
  }

  int moe(int x) {
    model_.info.moe_layers.push_back(layer_);
    graph::RouterParams router{.experts = s_.experts, .top_k = s_.top_k};
    router.groups = s_.groups;
    router.top_groups = s_.top_groups;
    router.sigmoid = router.normalize = router.group_by_top2 = true;
    const int gate = module(path("mlp.gate"), "router", {"moe.router", "moe"},
                            {weight("weight", 1, s_.experts, s_.hidden, quant::Format::bf16),
                             weight("bias", 1, 1, s_.experts, quant::Format::f32)});
    const int routing = graph_.router(gate, x, router);
    const auto down = layer_ % 2 == 0 ? s_.down : s_.matrices;
    const int experts = module(path("mlp.experts"), "moe", {"moe.experts", "moe"},
                               {weight("gate", s_.experts, s_.expert_width, s_.hidden, s_.matrices),
                                weight("up", s_.experts, s_.expert_width, s_.hidden, s_.matrices),
                                weight("down", s_.experts, s_.hidden, s_.expert_width, down)});
    const int routed = graph_.moe(experts, x, routing,
                                  {.experts = s_.experts,
                                   .top_k = s_.top_k,
                                   .hidden = static_cast<int>(s_.hidden),
                                   .intermediate = static_cast<int>(s_.expert_width)});
    return graph_.add(
        routed, gated_mlp("mlp.shared_experts", {"mlp.shared", "mlp", "moe"}, s_.expert_width, x));
  }

  int layer(int x) {
    graph_.set_layer(layer_);
    int h = graph_.rms_norm(norm(path("input_layernorm"), s_.hidden, {"norm"}), x, 1e-6f);
    x = graph_.add(x, attention(h));
    h = graph_.rms_norm(norm(path("post_attention_layernorm"), s_.hidden, {"norm"}), x, 1e-6f);
    return graph_.add(
        x, layer_ < s_.dense ? gated_mlp("mlp", {"mlp.dense", "mlp"}, s_.intermediate, h) : moe(h));
  }

  void add_mtp() {
    for (int i = 0; i < s_.mtp; ++i) {
      graph::Module m{.path = "model.layers." + std::to_string(layer_), .classes = {"mtp"}};
      m.layer = layer_;
      m.unused = "predicts further tokens, which ktx doesn't use";
      graph_.module(std::move(m));
      ++layer_;
    }
  }

  DeepSeek s_;
  graph::Model model_;
  graph::GraphBuilder graph_;
  int layer_ = -1;
};

inline graph::Model deepseek(const DeepSeek& shape = {}) {
  return Builder(shape).build();
}

/// DeepSeek-V3 at its true size.
inline DeepSeek full_size() {
  DeepSeek s;
  s.layers = 61;
  s.dense = 3;
  s.hidden = 7168;
  s.heads = 128;
  s.q_lora = 1536;
  s.intermediate = 18432;
  s.expert_width = 2048;
  s.vocab = 129280;
  s.experts = 256;
  return s;
}

inline hw::Machine machine(hw::Isa isa = hw::Isa::avx512_vnni, int nodes = 1, uint64_t gib = 16) {
  hw::Machine m;
  m.name = "sample box";
  m.isa = isa;
  for (int i = 0; i < nodes; ++i)
    m.nodes.push_back({.id = i, .memory_bytes = gib << 30, .cpus = {4 * i, 4 * i + 1}, .cores = 2});
  return m;
}

inline hw::Machine machine_with_gpus(int count, uint64_t gib = 24) {
  auto m = machine();
  for (int i = 0; i < count; ++i) m.gpus.push_back({.name = "RTX 4090", .memory_bytes = gib << 30});
  return m;
}

/// The speeds that predictions need, for a machine and its GPUs.
inline hw::Machine with_speeds(hw::Machine m) {
  m.read_bandwidth = 20e9;
  m.tensor_flops = 1e12;
  for (auto& gpu : m.gpus) {
    gpu.read_bandwidth = 1e12;
    gpu.copy_bandwidth = 25e9;
    gpu.tensor_flops = 100e12;
  }
  return m;
}

inline Rules rules(const std::string& text) {
  return parse_rules(base::parse_yaml(text, "r.yaml"), "r.yaml");
}

/// A rules file of these lines below `rules:`.
inline Rules rule_list(const std::string& lines) {
  return rules("ktx: 1\nrules:\n" + lines);
}

/// What the call throws, as text; "" when it does not.
template <class Call>
std::string error_of(Call call) {
  try {
    call();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace ktx::placement::sample
