// Published hyper-parameters and changes to them.
#include "engine/synth/published.hpp"

#include "catch.hpp"
#include "core/base/failure.hpp"

using namespace ktx;
using namespace ktx::engine;
using test::failure;

TEST_CASE("an unchanged configuration is the published one") {
  const Json config = changed_config(published_model("deepseek-v3"), {});
  CHECK(config.at("num_hidden_layers") == 61);
  CHECK(config.at("first_k_dense_replace") == 3);
  CHECK(config.at("n_routed_experts") == 256);
  CHECK(config.at("bos_token_id") == 0);
}

TEST_CASE("layers, experts and sizes change") {
  const Json config = changed_config(
      published_model("kimi-k2"),
      {.dense_layers = 2, .moe_layers = 4, .experts = 64, .sizes = {{"vocab_size", 300}}});
  CHECK(config.at("num_hidden_layers") == 6);
  CHECK(config.at("first_k_dense_replace") == 2);
  CHECK(config.at("n_routed_experts") == 64);
  CHECK(config.at("vocab_size") == 300);
  CHECK(config.at("bos_token_id") == 298);
  CHECK(config.at("eos_token_id") == 299);
  const Json qwen = changed_config(published_model("qwen3-235b"), {.moe_layers = 2, .experts = 16});
  CHECK(qwen.at("num_hidden_layers") == 2);
  CHECK(qwen.at("num_experts") == 16);
  const Json mixtral = changed_config(published_model("mixtral-8x7b"), {.experts = 4});
  CHECK(mixtral.at("num_local_experts") == 4);
}

TEST_CASE("what can't be changed so is an input error") {
  CHECK(failure([] {
          (void)published_model("deepseek-v4");
        }).starts_with("input no published model 'deepseek-v4'"));
  const auto change = [](const char* model, const ShapeChanges& changes) {
    return failure([&] { (void)changed_config(published_model(model), changes); });
  };
  CHECK(change("qwen3-235b", {.dense_layers = 1}) ==
        "input qwen3-235b has MoE layers only, found 1 dense layers");
  CHECK(change("kimi-k2", {.dense_layers = 0, .moe_layers = 0}) ==
        "input expected at least one layer, found 0 dense and 0 MoE layers");
  CHECK(change("kimi-k2", {.dense_layers = -1, .moe_layers = 2}) ==
        "input expected at least one layer, found -1 dense and 2 MoE layers");
  CHECK(change("kimi-k2", {.sizes = {{"vocab_size", 257}}}) ==
        "input 'vocab_size' must be at least 258, found 257");
  CHECK(change("kimi-k2", {.sizes = {{"hidden_size", -1}}}) ==
        "input 'hidden_size' must be from 0 to 2147483647, found -1");
  CHECK(change("kimi-k2", {.sizes = {{"hiden_size", 1}}})
            .starts_with("input 'hiden_size' is no size of kimi-k2"));
}

TEST_CASE("GGUF metadata are those of the published files") {
  const auto& model = published_model("deepseek-v3");
  const Json metadata = gguf_metadata(model, changed_config(model, {}));
  // As llama.cpp prints them for DeepSeek-V3 files made since April 2025.
  const Json expected = {{"general.architecture", "deepseek2"},
                         {"deepseek2.block_count", 61},
                         {"deepseek2.context_length", 163840},
                         {"deepseek2.embedding_length", 7168},
                         {"deepseek2.feed_forward_length", 18432},
                         {"deepseek2.attention.head_count", 128},
                         {"deepseek2.attention.head_count_kv", 1},
                         {"deepseek2.rope.freq_base", 10000.0},
                         {"deepseek2.attention.layer_norm_rms_epsilon", 1e-6f},
                         {"deepseek2.expert_used_count", 8},
                         {"deepseek2.leading_dense_block_count", 3},
                         {"deepseek2.vocab_size", 129280},
                         {"deepseek2.attention.q_lora_rank", 1536},
                         {"deepseek2.attention.kv_lora_rank", 512},
                         {"deepseek2.attention.key_length", 576},
                         {"deepseek2.attention.value_length", 512},
                         {"deepseek2.attention.key_length_mla", 192},
                         {"deepseek2.attention.value_length_mla", 128},
                         {"deepseek2.expert_feed_forward_length", 2048},
                         {"deepseek2.expert_count", 256},
                         {"deepseek2.expert_shared_count", 1},
                         {"deepseek2.expert_weights_scale", 2.5},
                         {"deepseek2.expert_weights_norm", true},
                         {"deepseek2.expert_gating_func", 2},
                         {"deepseek2.rope.dimension_count", 64},
                         {"deepseek2.rope.scaling.type", "yarn"},
                         {"deepseek2.rope.scaling.factor", 40.0},
                         {"deepseek2.rope.scaling.original_context_length", 4096},
                         {"deepseek2.rope.scaling.yarn_log_multiplier", 0.1f}};
  for (const auto& [key, value] : expected.items()) {
    INFO(key);
    REQUIRE(metadata.contains(key));
    CHECK(metadata.at(key) == value);
    CHECK(metadata.at(key).is_number_float() == value.is_number_float());
  }
  const auto& qwen = published_model("qwen3-235b");
  const Json other = gguf_metadata(qwen, changed_config(qwen, {}));
  CHECK(other.at("qwen3moe.attention.key_length") == 128);
  CHECK(other.at("qwen3moe.attention.head_count_kv") == 4);
  CHECK_FALSE(other.contains("qwen3moe.rope.scaling.type"));
}

TEST_CASE("GGUF metadata of a model without q_lora, and of one of Llama's kind") {
  const auto& lite = published_model("deepseek-v2-lite");
  const Json metadata = gguf_metadata(lite, changed_config(lite, {}));
  CHECK_FALSE(metadata.contains("deepseek2.attention.q_lora_rank"));
  CHECK(metadata.at("deepseek2.expert_gating_func") == 1);  // softmax
  CHECK(metadata.at("deepseek2.expert_weights_norm") == false);
  CHECK(metadata.at("deepseek2.rope.scaling.yarn_log_multiplier") == 0.0707f);
  const auto& mixtral = published_model("mixtral-8x7b");
  const Json other = gguf_metadata(mixtral, changed_config(mixtral, {}));
  CHECK(other.at("llama.expert_count") == 8);
  CHECK(other.at("llama.feed_forward_length") == 14336);
  CHECK_FALSE(other.contains("llama.expert_feed_forward_length"));
}
