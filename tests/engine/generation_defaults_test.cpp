// End tokens and sampling, as a checkpoint's files say them.
#include "engine/generation_defaults.hpp"

#include "catch.hpp"
#include "core/base/failure.hpp"
#include "engine/source.hpp"
#include "ktx/log.hpp"
#include "support/reference.hpp"
#include "support/temp_dir.hpp"

using namespace ktx;
namespace fs = std::filesystem;

namespace {

const text::Tokenizer& tokenizer() {
  static const text::Tokenizer made = [] {
    const Json json =
        Json::parse(R"({"model": {"type": "BPE", "vocab": {"a": 0, "b": 1}, "merges": []},
      "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
      "added_tokens": [{"id": 2, "content": "<|im_end|>", "special": true},
                       {"id": 3, "content": "<eos>", "special": true}]})");
    const Json config = {{"eos_token", "<eos>"}, {"chat_template", "{{ x }}<|im_end|>"}};
    return text::Tokenizer::from_tokenizer_json(json, &config, "tokenizer.json");
  }();
  return made;
}

}  // namespace

TEST_CASE("end tokens are the union of all that name some") {
  using Ids = std::vector<int32_t>;
  CHECK(engine::end_tokens(tokenizer(), {}, {}, "m") == Ids{3, 2});  // of the template: 2
  CHECK(engine::end_tokens(tokenizer(), {{"eos_token_id", 0}}, {{"eos_token_id", {0, 1}}}, "m") ==
        Ids{3, 2, 0, 1});
  CHECK(engine::end_tokens(tokenizer(), {}, {{"text_config", {{"eos_token_id", 1}}}}, "m") ==
        Ids{3, 2, 1});
  const Json many = {{"eos_token_id", std::vector(257, 0)}};
  CHECK(test::failure([&] { engine::end_tokens(tokenizer(), many, {}, "m"); }) ==
        "input m/generation_config.json: 'eos_token_id': expected at most 256 entries, found 257");
  std::vector<std::string> said;
  set_log_sink([&](LogLevel, std::string_view text) { said.emplace_back(text); });
  CHECK(engine::end_tokens(tokenizer(), {}, {{"eos_token_id", 99}}, "m") == Ids{3, 2});
  set_log_sink({});
  REQUIRE(said.size() == 1);
  CHECK(said[0] == "m/config.json: 'eos_token_id' 99 is outside of the vocabulary of 4: ignored");
}

TEST_CASE("sampling is as the checkpoint's files say it") {
  const auto of = [](std::vector<std::string> overrides) {
    return engine::sampling_defaults(
        *engine::open_source(test::shipped_model, {.overrides = std::move(overrides)}));
  };
  CHECK_FALSE(of({}).temperature.has_value());
  const auto given = of({"general.sampling.temp=0.5", "general.sampling.top_k=20",
                         "general.sampling.top_p=0.75", "general.sampling.min_p=2"});
  CHECK(given.temperature == 0.5f);
  CHECK(given.top_k == 20);
  CHECK(given.top_p == 0.75f);
  CHECK_FALSE(given.min_p.has_value());  // impossible

  const test::TempDir folder;
  fs::copy(test::data_dir / "quantized/awq", folder.path());
  const auto all_with = [&](const std::string& text) {
    folder.write("generation_config.json", text);
    return engine::sampling_defaults(*engine::open_source(folder.path()));
  };
  const auto with = [&](const std::string& text) { return all_with(text).temperature; };
  CHECK(with(R"({"temperature": 0.6, "do_sample": true})") == 0.6f);
  CHECK(with(R"({"temperature": 0.6})") == 0.6f);
  CHECK_FALSE(with(R"({"temperature": 0.6, "do_sample": false})").has_value());
  const auto penalties =
      all_with(R"({"repetition_penalty": 1.1, "frequency_penalty": 0.5, "presence_penalty": 1.5})");
  CHECK(penalties.repetition_penalty == 1.1f);
  CHECK(penalties.frequency_penalty == 0.5f);
  CHECK(penalties.presence_penalty == 1.5f);
}
