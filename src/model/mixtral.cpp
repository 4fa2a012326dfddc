// Mixtral: Llama's attention and routed experts in every layer (arXiv 2401.04088).
#include "model/archs.hpp"
#include "model/gqa.hpp"
#include "model/model_builder.hpp"

namespace ktx::model {

bool has_experts(const Config& config, const Source&) {
  return config.count_or({"num_local_experts", "expert_count"}, 0, {.lowest = 0}) > 0;
}

graph::Model build_mixtral(const Source& source, const Config& config,
                           const std::string& model_type) {
  ModelBuilder builder(source, config, model_type);
  const GqaShape shape = read_gqa(builder, RotaryOrder::interleaved_in_gguf);
  const int window = config.count_or({"sliding_window", "attention.sliding_window"}, 0,
                                     {.lowest = 0, .most = limits::context});
  MoeShape moe;
  moe.experts = config.count({"num_local_experts", "expert_count"}, {.most = limits::experts});
  moe.top_k = config.count({"num_experts_per_tok", "expert_used_count"}, {.most = limits::experts});
  moe.intermediate = config.count({"intermediate_size", "feed_forward_length"});
  moe.router.normalize = true;
  return builder.build(
      [&](int layer, int x) { return gqa_attention(builder, shape, layer, x, window); },
      [&](int layer, int x) { return builder.routed_experts(layer, x, moe); });
}

}  // namespace ktx::model
