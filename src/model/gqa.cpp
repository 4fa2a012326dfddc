// Grouped-query attention with its projections, as Llama, Mixtral and Qwen have it.
#include "model/gqa.hpp"

#include <cmath>
#include <string>
#include <utility>

#include "core/base/error.hpp"
#include "model/rope.hpp"

namespace ktx::model {
namespace {

const Key heads_key{"num_attention_heads", "attention.head_count"};
const Key kv_heads_key{"num_key_value_heads", "attention.head_count_kv"};
const Key head_key{"head_dim", "attention.key_length"};
const Key value_key{{}, "attention.value_length"};
const Key rotated_key{{}, "rope.dimension_count"};

int read_head_size(const ModelBuilder& builder, int heads) {
  const Config& config = builder.config();
  if (!config.has(head_key) && builder.hidden() % heads != 0) {
    config.fail(heads_key, "must divide the hidden size " + std::to_string(builder.hidden()) +
                               ", found " + std::to_string(heads));
  }
  const int head =
      config.count_or(head_key, builder.hidden() / heads, {.lowest = 2, .most = limits::head_size});
  const int value = config.count_or(value_key, head, {.most = limits::head_size});
  if (value != head) {
    config.fail(value_key, "must equal the key length " + std::to_string(head) + ", found " +
                               std::to_string(value));
  }
  if (head % 2 != 0) config.fail(head_key, "must be even, found " + std::to_string(head));
  return head;
}

}  // namespace

GqaShape read_gqa(ModelBuilder& builder, RotaryOrder order, double theta) {
  const Config& config = builder.config();
  GqaShape shape;
  shape.heads = config.count(heads_key, {.most = limits::heads});
  shape.kv_heads = config.count_or(kv_heads_key, shape.heads, {.most = limits::heads});
  if (shape.heads % shape.kv_heads != 0) {
    config.fail(kv_heads_key, "must divide the number of heads " + std::to_string(shape.heads) +
                                  ", found " + std::to_string(shape.kv_heads));
  }
  shape.head = read_head_size(builder, shape.heads);
  const int rotated =
      config.count_or(rotated_key, shape.head, {.lowest = 2, .most = limits::head_size});
  if (rotated > shape.head || rotated % 2 != 0) {
    config.fail(rotated_key, "must be even and at most the key length " +
                                 std::to_string(shape.head) + ", found " + std::to_string(rotated));
  }
  const bool interleaved = order == RotaryOrder::interleaved_in_gguf && config.gguf();
  shape.rotary = make_rope(read_rope(config, builder.context(), theta), rotated, interleaved);
  // Llama 3.1 and later: GGUF files hold the scaling as a divisor a frequency.
  if (const auto* divisors = builder.tensors().find({"rope_freqs.weight"});
      divisors && config.gguf()) {
    const std::vector<float> numbers = builder.tensors().values(*divisors, rotated / 2);
    for (size_t i = 0; i < numbers.size(); ++i) {
      if (!(std::isfinite(numbers[i]) && numbers[i] > 0)) {
        throw_input("tensor 'rope_freqs.weight' must hold positive numbers, found " +
                        std::to_string(numbers[i]) + " at " + std::to_string(i),
                    divisors->where);
      }
      shape.rotary.frequency[i] /= numbers[i];
    }
  }
  return shape;
}

int gqa_attention(ModelBuilder& builder, const GqaShape& shape, int layer, int x, int window) {
  const ModelBuilder::Classes linear{"linear", "attention.gqa", "attention"};
  const ModelBuilder::Classes norm{"norm", "attention.gqa", "attention"};
  const int64_t q_size = int64_t{shape.heads} * shape.head;
  const int64_t k_size = int64_t{shape.kv_heads} * shape.head;
  const auto project = [&](const char* module, int64_t out) {
    return builder.linear(layer, module, x, out, builder.hidden(), linear,
                          builder.has_bias(layer, module, shape.qkv_bias));
  };
  int q = project("self_attn.q_proj", q_size);
  if (shape.qk_norm)
    q = builder.norm(layer, "self_attn.q_norm", q, shape.head, builder.eps(), norm);
  int k = project("self_attn.k_proj", k_size);
  if (shape.qk_norm)
    k = builder.norm(layer, "self_attn.k_norm", k, shape.head, builder.eps(), norm);
  const int v = project("self_attn.v_proj", k_size);

  graph::GqaParams params;
  params.heads = shape.heads;
  params.kv_heads = shape.kv_heads;
  params.head = shape.head;
  params.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(shape.head)));
  params.rotary = shape.rotary;
  params.window = window;
  params.cache = builder.add_cache({.scaled = 2 * k_size, .group = params.head});
  const int module = builder.graph().module({.path = layer_path(layer, "self_attn"),
                                             .op = "gqa",
                                             .classes = {"attention.gqa", "attention"},
                                             .layer = layer});
  const int out = builder.graph().gqa(module, q, k, v, std::move(params));
  return builder.linear(layer, "self_attn.o_proj", out, builder.hidden(), q_size, linear,
                        builder.has_bias(layer, "self_attn.o_proj", shape.output_bias));
}

}  // namespace ktx::model
