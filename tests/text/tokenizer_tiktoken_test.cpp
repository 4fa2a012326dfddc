// Kimi's tiktoken.model: tiktoken's own vectors, and what is wrong with files.
#include "catch.hpp"
#include "core/base/failure.hpp"
#include "core/base/file.hpp"
#include "text/tokenizer_data.hpp"

using ktx::Json;
using ktx::test::failure;
using ktx::text::Tokenizer;

namespace {

using Ids = std::vector<int32_t>;

Json config() {
  return {{"tokenizer_class", "TikTokenTokenizer"}};
}

std::string failure_of(const std::string& ranks, const Json& config) {
  return failure([&] { Tokenizer::from_tiktoken(ranks, config, "hf/tiktoken.model"); });
}

}  // namespace

// tiktoken.json: make_tiktoken.py.
TEST_CASE("tiktoken's own ids of texts and bytes, and back") {
  const Json data = ktx::test::tokenizer_vectors("tiktoken.json");
  const auto t =
      Tokenizer::from_tiktoken(ktx::base::read_text(KTX_TEST_DATA "/tokenizers/tiktoken.model"),
                               data["config"], "hf/tiktoken.model");
  const auto texts = data["texts"].get<std::vector<std::string>>();
  REQUIRE(texts.size() >= 90);
  for (size_t i = 0; i < texts.size(); ++i) {
    INFO(texts[i]);
    const auto expected = data["ids"][i].get<Ids>();
    CHECK(t.encode(texts[i]) == expected);
    CHECK(t.decode(expected) == texts[i]);
  }
  const size_t plain = texts.size() - data["plain_ids"].size();
  for (size_t i = plain; i < texts.size(); ++i) {
    INFO(texts[i]);
    CHECK(t.encode(texts[i], false) == data["plain_ids"][i - plain].get<Ids>());
  }
  for (size_t i = 0; i < data["bytes"].size(); ++i)
    CHECK(t.decode(data["byte_ids"][i].get<Ids>()) ==
          ktx::test::from_hex(data["bytes"][i].get<std::string>()));
  CHECK(t.encode("\xFF\xFE\xFD") == data["byte_ids"][1].get<Ids>());
  CHECK(t.vocab_size() == 800 + 258);
  CHECK(t.bos() == 800);
  CHECK(t.eos() == 801);
  CHECK_FALSE(t.add_bos());
  CHECK(t.is_special(820));
}

TEST_CASE("files that are no vocabulary of Kimi's") {
  CHECK(failure_of("YQ== 0\nYg== 1\n", config()) == "nothing thrown");
  CHECK(failure_of("YQ== 0\r\n\nYg== 1", config()) == "nothing thrown");
  REQUIRE(failure_of("YQ== 0\n", {{"tokenizer_class", "QWenTokenizer"}}) ==
          "input hf/tokenizer_config.json: tiktoken.model with tokenizer_class 'QWenTokenizer' is "
          "not supported\n"
          "  note: supported: TikTokenTokenizer, Kimi's");
  CHECK(failure_of("YQ== 0\n", nullptr) ==
        "input hf/tokenizer_config.json: 'tokenizer_config.json': expected an object, found null");
  REQUIRE(failure_of("YQ== 0\nYg== 2\n", config()) == "input hf/tiktoken.model: rank 1 is missing");
  REQUIRE(failure_of("YQ== 0\nYg== 0\n", config()) ==
          "input hf/tiktoken.model: line 2: rank 0 occurs twice");
  REQUIRE(failure_of("", config()) == "input hf/tiktoken.model: the vocabulary is empty");
  for (const char* line : {"YQ==", "YQ== x", "YQ== -1", "YQ== 1.5", "Y 0", " 0", "YQ==  0",
                           "YQ== 99999999", "YQ== 0 "}) {
    INFO(line);
    CHECK(failure_of(line, config())
              .starts_with("input hf/tiktoken.model: line 1: expected a token in base 64, a space "
                           "and its rank, found '"));
  }
}

TEST_CASE("special tokens are named by the config, within their ids") {
  Json named = config();
  named["added_tokens_decoder"]["2"] = {{"content", "[EOS]"}, {"special", true}};
  named["eos_token"] = "[EOS]";
  const auto t = Tokenizer::from_tiktoken("YQ== 0\nYg== 1\n", named, "tiktoken.model");
  CHECK(t.encode("a[EOS]<|reserved_token_3|>") == Ids{0, 2, 3});
  CHECK(t.eos() == 2);
  for (const char* id : {"1", "260", "x", "-1", "2 "}) {
    Json wrong = config();
    wrong["added_tokens_decoder"][id] = {{"content", "x"}};
    CHECK(failure_of("YQ== 0\nYg== 1\n", wrong) ==
          std::string("input hf/tokenizer_config.json: added_tokens_decoder: expected an id from 2 "
                      "to 259, found '") +
              id + "'");
  }
}
