// Keys that the user sets.
#include "loader/overrides.hpp"

#include <vector>

#include "catch.hpp"
#include "files.hpp"

namespace ktx::loader {
namespace {

Json with(Json config, const std::string& text, CheckpointKind kind = CheckpointKind::safetensors) {
  const std::vector<std::string> overrides{text};
  apply_overrides(config, overrides, kind);
  return config;
}

TEST_CASE("overrides are JSON, or else texts, of members or of members of members") {
  const Json config{{"a", 1}, {"s", {{"b", 2}}}};
  CHECK(with(config, "a=2")["a"] == 2);
  CHECK(with(config, "a=yarn")["a"] == "yarn");
  CHECK(with(config, "a=")["a"] == "");
  CHECK(with(config, "c=[1, 2]")["c"] == Json({1, 2}));
  CHECK(with(config, "c=x=y")["c"] == "x=y");
  CHECK(with(config, "s.b=null")["s"]["b"].is_null());
  CHECK(with(config, "t.b=3")["t.b"] == 3);
  for (const char* text : {"a", "", "=3"})
    CHECK(message_of([&] { with(config, text); }) ==
          "input: expected KEY=VALUE, found '" + std::string(text) + "'");
}

TEST_CASE("a key that no reader of GGUF metadata looks at is refused") {
  const Json metadata{{"general.architecture", "deepseek2"},
                      {"general.name", "x"},
                      {"tokenizer.ggml.bos_token_id", 0},
                      {"deepseek2.rope.scaling.factor", 4}};
  const auto gguf = [&](const std::string& text) {
    return with(metadata, text, CheckpointKind::gguf);
  };
  const auto refusal = [&](const std::string& text) {
    const auto error = error_of([&] { gguf(text); });
    return error ? error->message() + "; " + error->notes().front() : "taken";
  };
  CHECK(gguf("deepseek2.rope.scaling.factor=40")["deepseek2.rope.scaling.factor"] == 40);
  CHECK(gguf("deepseek2.expert_used_count=2")["deepseek2.expert_used_count"] == 2);
  CHECK(gguf("tokenizer.ggml.bos_token_id=5")["tokenizer.ggml.bos_token_id"] == 5);
  CHECK(gguf("tokenizer.chat_template=x")["tokenizer.chat_template"] == "x");
  CHECK(refusal("rope_scaling.factor=40") ==
        "the GGUF metadata has no key 'rope_scaling.factor'; "
        "did you mean 'deepseek2.rope.scaling.factor'?");
  CHECK(refusal("tokenizer.ggml.bos_tokn_id=5") ==
        "the GGUF metadata has no key 'tokenizer.ggml.bos_tokn_id'; did you mean "
        "'tokenizer.ggml.bos_token_id' or 'tokenizer.ggml.eos_token_id' or "
        "'tokenizer.ggml.eom_token_id'?");
  for (const char* text : {"foo=1", "a=", "general.foo=1", "num_experts_per_tok=2"})
    CHECK(refusal(text).starts_with("the GGUF metadata has no key '"));
}

}  // namespace
}  // namespace ktx::loader
