// A one-layer model made by hand with every op, for tests that then break it.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/base/error.hpp"
#include "core/graph/graph.hpp"

namespace ktx::graph::test {

inline Weight weight(std::string role, int64_t count, int64_t rows, int64_t cols) {
  Weight w{.role = role, .count = count, .rows = rows, .cols = cols};
  w.pieces = {{.tensor = role + ".tensor", .first_row = 0, .rows = count * rows}};
  return w;
}

inline Module module(std::string path, std::string op, std::vector<Weight> weights) {
  return {.path = std::move(path),
          .op = std::move(op),
          .classes = {"linear"},
          .layer = -1,
          .weights = std::move(weights)};
}

inline Rope rope(int dims) {
  Rope r;
  for (int i = 0; i < dims / 2; ++i) r.frequency.push_back(1.0f / static_cast<float>(1 + i));
  return r;
}

/// Latent attention: 2 heads, nope 4, rope 2, v 3, kv_lora 5; hidden 8.
inline int add_mla(Model& model, GraphBuilder& b, int x, const std::string& prefix) {
  const int q =
      b.linear(b.module(module(prefix + "q_proj", "linear", {weight("weight", 1, 12, 8)})), x);
  const int kv =
      b.linear(b.module(module(prefix + "kv_a", "linear", {weight("weight", 1, 7, 8)})), x);
  const int latent =
      b.rms_norm(b.module(module(prefix + "kv_norm", "rms_norm", {weight("weight", 1, 1, 5)})),
                 b.slice(kv, 0, 5), 1e-6f);
  MlaParams p{.heads = 2, .nope = 4, .rope = 2, .v = 3, .kv_lora = 5, .scale = 0.5f};
  p.rotary = rope(2);
  p.cache = static_cast<int>(model.info.caches.size());
  model.info.caches.push_back({.scaled = 5, .group = 5, .exact = 2});
  const int m =
      b.module(module(prefix + "kv_b", "mla", {weight("k_b", 2, 5, 4), weight("v_b", 2, 3, 5)}));
  const int out = b.mla(m, q, latent, b.slice(kv, 5, 2), p);
  return b.linear(b.module(module(prefix + "o_proj", "linear", {weight("weight", 1, 8, 6)})), out);
}

/// Grouped-query attention: 2 heads of 4 over 1; hidden 8.
inline int add_gqa(Model& model, GraphBuilder& b, int x, const std::string& prefix) {
  const int q =
      b.linear(b.module(module(prefix + "q_proj", "linear", {weight("weight", 1, 8, 8)})), x);
  const int k =
      b.linear(b.module(module(prefix + "k_proj", "linear", {weight("weight", 1, 4, 8)})), x);
  const int v =
      b.linear(b.module(module(prefix + "v_proj", "linear", {weight("weight", 1, 4, 8)})), x);
  GqaParams p{.heads = 2, .kv_heads = 1, .head = 4, .scale = 0.5f};
  p.rotary = rope(4);
  p.cache = static_cast<int>(model.info.caches.size());
  model.info.caches.push_back({.scaled = 8, .group = 4});
  return b.gqa(b.module(module(prefix + "attn", "gqa", {})), q, k, v, p);
}

/// 4 experts of intermediate 16, 2 a token, and a gated dense MLP beside them; hidden 8.
inline int add_moe(GraphBuilder& b, int x, const std::string& prefix) {
  const int routing =
      b.router(b.module(module(prefix + "gate", "router",
                               {weight("weight", 1, 4, 8), weight("bias", 1, 1, 4)})),
               x, {.experts = 4, .top_k = 2, .groups = 2, .top_groups = 1, .sigmoid = true});
  const int experts =
      b.moe(b.module(module(
                prefix + "experts", "moe",
                {weight("gate", 4, 16, 8), weight("up", 4, 16, 8), weight("down", 4, 8, 16)})),
            x, routing, {.experts = 4, .top_k = 2, .hidden = 8, .intermediate = 16});
  const auto linear = [&](const char* name, int64_t out, int64_t in, int input) {
    return b.linear(b.module(module(prefix + name, "linear", {weight("weight", 1, out, in)})),
                    input);
  };
  const int gate = linear("shared_gate", 20, 8, x), up = linear("shared_up", 20, 8, x);
  const int shared = linear("shared_down", 8, 20, b.silu_mul(gate, up));
  return b.add(experts, b.scale_sigmoid(shared, linear("shared_sigmoid", 1, 8, x)));
}

/// Vocabulary 30, hidden 8; each layer has both attentions, one after the other, and experts.
inline Model tiny_model(int layers = 1) {
  Model model;
  model.info.architecture = "tiny";
  model.info.layers = layers;
  model.info.hidden = 8;
  model.info.vocab = 30;
  model.info.context = 64;
  GraphBuilder b(model);
  int x = b.embedding(b.module(module("embed", "embedding", {weight("weight", 1, 30, 8)})));
  for (int layer = 0; layer < layers; ++layer) {
    b.set_layer(layer);
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    x = b.add(x, add_mla(model, b, x, prefix + "mla."));
    x = b.add(x, add_gqa(model, b, x, prefix + "gqa."));
    x = b.add(x, add_moe(b, x, prefix + "mlp."));
  }
  b.set_layer(-1);
  const int last = b.rms_norm(b.module(module("norm", "rms_norm", {weight("weight", 1, 1, 8)})),
                              b.last_rows(x), 1e-6f);
  b.logits(b.linear(b.module(module("head", "linear", {weight("weight", 1, 30, 8)})), last));
  return model;
}

/// `part` when text contains it, else the whole text, for a CHECK that shows it.
inline std::string part_of(const std::string& text, const std::string& part) {
  return text.find(part) == std::string::npos ? text : part;
}

/// What an error says; "" when nothing is thrown.
template <typename Function>
std::string error_of(Function function) {
  try {
    function();
  } catch (const Error& error) {
    return std::string(to_string(error.category())) + ": " + error.what();
  }
  return "";
}

}  // namespace ktx::graph::test
