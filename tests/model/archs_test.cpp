// Recognition of architectures.
#include "model/archs.hpp"

#include <map>
#include <set>

#include "catch.hpp"
#include "fake.hpp"

using namespace ktx;
using namespace ktx::model;
using test::error_of;
using test::Fake;
using test::FakeGguf;

namespace {

std::string type_of(const Fake& fake) {
  return recognise(fake.source()).model_type;
}

Fake with(const char* config) {
  Fake fake;
  fake.config = base::parse_json(config, "test");
  return fake;
}

}  // namespace

TEST_CASE("every row has names, a function and a doc") {
  std::set<std::string_view> types;
  for (const Architecture& row : architectures()) {
    REQUIRE(!row.model_types.empty());
    for (std::string_view type : row.model_types) CHECK(types.insert(type).second);
    CHECK(!row.gguf.empty());
    CHECK(!row.classes.empty());
    CHECK(row.build != nullptr);
    CHECK(!row.doc.empty());
  }
}

TEST_CASE("Hugging Face checkpoints by model_type, else by their class") {
  for (const char* name :
       {"deepseek_v2", "deepseek_v3", "kimi_k2", "qwen2_moe", "qwen3_moe", "mixtral", "llama"}) {
    Fake fake;
    fake.config["model_type"] = name;
    CHECK(type_of(fake) == name);
  }
  CHECK(type_of(with(R"({"architectures": ["DeepseekV3ForCausalLM"]})")) == "deepseek_v3");
}

TEST_CASE("GGUF checkpoints that share a name") {
  FakeGguf llama("llama");
  CHECK(type_of(llama) == "llama");
  llama.key("expert_count", 0);
  CHECK(type_of(llama) == "llama");
  llama.key("expert_count", 8);
  CHECK(type_of(llama) == "mixtral");

  FakeGguf deepseek("deepseek2");
  CHECK(type_of(deepseek) == "deepseek_v2");
  deepseek.key("expert_gating_func", 2);
  CHECK(type_of(deepseek) == "deepseek_v3");
  deepseek.key("expert_gating_func", 1);
  CHECK(type_of(deepseek) == "deepseek_v2");
  deepseek.key("expert_gating_func", 3);
  CHECK(error_of([&] { type_of(deepseek); }) ==
        "model.gguf: 'deepseek2.expert_gating_func' must be 1 (softmax) or 2 (sigmoid), found 3");

  FakeGguf early("deepseek2");  // the first files of V3 lack the key
  early.key("leading_dense_block_count", 3);
  early.add("blk.3.exp_probs_b.bias", {256});
  CHECK(type_of(early) == "deepseek_v3");
}

TEST_CASE("an unknown architecture is named together with the valid ones") {
  CHECK(error_of([] { type_of(with(R"({"model_type": "qwen3_mo"})")); }) ==
        "config.json: unknown architecture 'qwen3_mo'\n"
        "  note: did you mean 'qwen3_moe' or 'qwen2_moe'?\n"
        "  note: valid architectures: deepseek_v3, kimi_k2, deepseek_v2, qwen2_moe, qwen3_moe, "
        "mixtral, llama");
  CHECK(error_of([] { type_of(FakeGguf("gpt2")); }) ==
        "model.gguf: unknown architecture 'gpt2'\n"
        "  note: valid architectures: deepseek2, qwen2moe, qwen3moe, llama");
  CHECK(error_of([] {
          type_of(with(R"({"architectures": ["GPT2LMHeadModel"]})"));
        }).find("config.json: unknown architecture 'GPT2LMHeadModel'\n") == 0);
  CHECK(error_of([] { type_of(with("{}")); }) ==
        "config.json: 'model_type' is missing\n"
        "  note: nor does 'architectures' name one");
  FakeGguf nameless("x");
  nameless.config = Json::object();
  CHECK(error_of([&] { type_of(nameless); }) == "model.gguf: 'general.architecture' is missing");
}
