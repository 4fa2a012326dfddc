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
