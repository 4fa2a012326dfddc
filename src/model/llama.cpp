// Llama: grouped-query attention and a dense MLP in every layer (arXiv 2302.13971, 2407.21783).
#include "model/archs.hpp"
#include "model/gqa.hpp"
#include "model/net.hpp"

namespace ktx::model {

graph::Model build_llama(const Source& source, const Config& config,
                         const std::string& model_type) {
  Net net(source, config, model_type);
  net.allow_tied_head();
  const int intermediate = config.count({"intermediate_size", "feed_forward_length"});
  const bool mlp_bias = config.flag_or({"mlp_bias", {}}, false);
  GqaShape shape = read_gqa(net, RotaryOrder::interleaved_in_gguf);
  shape.qkv_bias = shape.output_bias = config.flag_or({"attention_bias", {}}, false);
  return net.build(
      [&](int layer, int x) { return gqa_attention(net, shape, layer, x); },
      [&](int layer, int x) { return net.dense_mlp(layer, x, intermediate, mlp_bias); });
}

}  // namespace ktx::model
