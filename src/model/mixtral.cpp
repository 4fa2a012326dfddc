// Mixtral: Llama's attention and routed experts in every layer (arXiv 2401.04088).
#include "model/archs.hpp"
#include "model/gqa.hpp"
#include "model/net.hpp"

namespace ktx::model {

bool has_experts(const Config& config, const Source&) {
  return config.count_or({"num_local_experts", "expert_count"}, 0, {.lowest = 0}) > 0;
}

graph::Model build_mixtral(const Source& source, const Config& config,
                           const std::string& model_type) {
  Net net(source, config, model_type);
  const GqaShape shape = read_gqa(net, RotaryOrder::interleaved_in_gguf);
  const int window = config.count_or({"sliding_window", "attention.sliding_window"}, 0,
                                     {.lowest = 0, .most = limits::context});
  MoeShape moe;
  moe.experts = config.count({"num_local_experts", "expert_count"}, {.most = limits::experts});
  moe.top_k = config.count({"num_experts_per_tok", "expert_used_count"}, {.most = limits::experts});
  moe.intermediate = config.count({"intermediate_size", "feed_forward_length"});
  moe.router.normalize = true;
  return net.build([&](int layer, int x) { return gqa_attention(net, shape, layer, x, window); },
                   [&](int layer, int x) { return net.routed_experts(layer, x, moe); });
}

}  // namespace ktx::model
