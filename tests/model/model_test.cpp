// build_model: what every architecture's model has in common.
#include "model/model.hpp"

#include "catch.hpp"
#include "fake.hpp"

using namespace ktx;
using namespace ktx::model;
using test::error_of;
using test::Fake;
using test::fixture;

namespace {

constexpr const char* fixtures[] = {"deepseek-v2-lite", "deepseek-v3-fp8", "kimi-k2",  "llama",
                                    "mixtral",          "qwen2-moe",       "qwen3-moe"};

}  // namespace

TEST_CASE("every tensor of a checkpoint is in a module") {
  for (const char* name : fixtures) {
    const Fake fake = fixture(name);
    std::map<std::string, int64_t> rows;
    for (const graph::Module& module : fake.build().modules) {
      for (const graph::Weight& weight : module.weights) {
        for (const graph::TensorPiece& piece : weight.pieces) rows[piece.tensor] += piece.rows;
      }
    }
    for (const graph::TensorMeta& tensor : fake.tensors) {
      if (tensor.name.ends_with(".ids") || tensor.name.ends_with(".logits")) continue;
      int64_t expected = 1;
      for (size_t i = 0; i + 1 < tensor.shape.size(); ++i) expected *= tensor.shape[i];
      INFO(name << " " << tensor.name);
      CHECK(rows[tensor.name] == expected);
    }
  }
}

TEST_CASE("each missing tensor is one input error that names it") {
  for (const char* name : fixtures) {
    const Fake whole = fixture(name);
    for (const graph::TensorMeta& tensor : whole.tensors) {
      if (tensor.name.ends_with(".ids") || tensor.name.ends_with(".logits")) continue;
      Fake fake = whole;
      fake.remove(tensor.name);
      const std::string error = error_of([&] { fake.build(); });
      INFO(name << " " << tensor.name << ": " << error);
      // The first expert's absence makes the experts' layout unknown: both are named.
      CHECK(error.find("config.json: tensor '") == 0);
      CHECK(error.find(tensor.name) != std::string::npos);
      CHECK(error.find("is not in the checkpoint") != std::string::npos);
    }
  }
}

TEST_CASE("each tensor of a wrong shape is one input error that names it") {
  for (const char* name : fixtures) {
    const Fake whole = fixture(name);
    for (size_t i = 0; i < whole.tensors.size(); ++i) {
      if (whole.tensors[i].name.find(".layers.") == std::string::npos) continue;
      Fake fake = whole;
      fake.tensors[i].shape.back() += 1;
      CHECK(error_of([&] {
              fake.build();
            }).find("config.json: tensor '" + fake.tensors[i].name + "' must have the shape") == 0);
    }
  }
}

TEST_CASE("a key of the wrong type is one input error") {
  for (const char* name : fixtures) {
    const Fake whole = fixture(name);
    for (const auto& item : whole.config.items()) {
      for (const Json& value : {Json(-1), Json("x"), Json(Json::array({Json::object()}))}) {
        Fake fake = whole;
        fake.config[item.key()] = value;
        try {
          fake.build();  // many keys are none of this code's business
        } catch (const Error& error) {
          INFO(name << " " << item.key());
          CHECK(error.category() == ErrorCategory::input);
        }
      }
    }
  }
}

TEST_CASE("a source without configuration is a bug") {
  CHECK(error_of([] { build_model({}); }) == "build_model: a configuration and tensors");
}

TEST_CASE("counts that no model has are refused before anything is made of them") {
  struct Row {
    const char* key;
    int64_t value, most;
    int lowest = 1;
  };
  const auto refused = [](test::FakeGguf header, const Row& row) {
    header.key(row.key, row.value);
    INFO(row.key);
    CHECK(error_of([&] { header.build(); }) ==
          "model.gguf: '" + header.prefix + row.key + "' must be a whole number from " +
              std::to_string(row.lowest) + " to " + std::to_string(row.most) + ", found " +
              std::to_string(row.value));
  };
  constexpr int64_t many = 1 << 24;
  for (const Row& row :
       {Row{"block_count", many, 512}, Row{"nextn_predict_layers", many, 512, 0},
        Row{"leading_dense_block_count", many, 512, 0}, Row{"attention.head_count", many, 1024},
        Row{"expert_count", many, 4096}, Row{"expert_used_count", many, 4096},
        Row{"expert_shared_count", many, 4096, 0}, Row{"expert_group_count", many, 4096, 0},
        Row{"rope.dimension_count", many, 4096, 2}, Row{"attention.key_length", many, 4096},
        Row{"attention.value_length", many, 4096}, Row{"embedding_length", many, 1 << 20},
        Row{"feed_forward_length", many, 1 << 20},
        Row{"context_length", int64_t{1} << 40, 1 << 28}}) {
    refused(test::deepseek2(false), row);
  }
  for (const Row& row :
       {Row{"attention.head_count_kv", many, 1024}, Row{"attention.key_length", many, 4096, 2},
        Row{"rope.dimension_count", many, 4096, 2}}) {
    refused(test::gqa_gguf("qwen3moe"), row);
  }
}

TEST_CASE("a vocabulary that no model has is refused") {
  Fake fake = test::deepseek2(false);
  fake.at("token_embd.weight").shape = {1 << 24, 256};
  CHECK(error_of([&] { fake.build(); }) ==
        "model.gguf: tensor 'token_embd.weight' must have 1 to 4194304 rows, found the shape "
        "[16777216, 256]");
  Fake llama = fixture("llama");
  llama.config["vocab_size"] = 1 << 24;
  CHECK(error_of([&] { llama.build(); }) ==
        "config.json: 'vocab_size' must be a whole number from 1 to 4194304, found 16777216");
}

TEST_CASE("layers for further tokens have numbers that layers can have") {
  const auto with_layer = [](int layer) {
    Fake fake = test::deepseek2(false);
    fake.add("blk." + std::to_string(layer) + ".nextn.eh_proj.weight", {256, 512});
    return error_of([&] { fake.build(); });
  };
  CHECK(with_layer(511).empty());
  CHECK(with_layer(512).find("tensor 'blk.512.nextn.eh_proj.weight' is not supported") !=
        std::string::npos);
}
