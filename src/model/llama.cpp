// Llama: grouped-query attention and a dense MLP in every layer (arXiv 2302.13971, 2407.21783).
#include "model/archs.hpp"
#include "model/gqa.hpp"
#include "model/model_builder.hpp"

namespace ktx::model {

graph::Model build_llama(const Source& source, const Config& config,
                         const std::string& model_type) {
  ModelBuilder builder(source, config, model_type);
  builder.allow_tied_head();
  const int intermediate = config.count({"intermediate_size", "feed_forward_length"});
  const bool mlp_bias = config.flag_or({"mlp_bias", {}}, false);
  GqaShape shape = read_gqa(builder, RotaryOrder::interleaved_in_gguf);
  shape.qkv_bias = shape.output_bias = config.flag_or({"attention_bias", {}}, false);
  return builder.build(
      [&](int layer, int x) { return gqa_attention(builder, shape, layer, x); },
      [&](int layer, int x) { return builder.dense_mlp(layer, x, intermediate, mlp_bias); });
}

}  // namespace ktx::model
