// Reading GGUF metadata, right and wrong.
#include <functional>

#include "catch.hpp"
#include "core/base/failure.hpp"
#include "text/detokenizer.hpp"
#include "text/tokenizer_data.hpp"

using ktx::Json;
using ktx::test::failure;
using ktx::text::Tokenizer;

namespace {

using Ids = std::vector<int32_t>;

// The 256 bytes, then ab, a control token, a user-defined token, an unused one.
Json metadata() {
  Json tokens = Json::array(), types = Json::array();
  for (int byte = 0; byte < 256; ++byte) {
    tokens.push_back(ktx::text::to_byte_alphabet(std::string(1, static_cast<char>(byte))));
    types.push_back(1);
  }
  for (const auto& [text, type] : {std::pair{"ab", 1}, {"<eot>", 3}, {"<tool>", 4}, {"[PAD]", 5}}) {
    tokens.push_back(text);
    types.push_back(type);
  }
  Json m;
  m["tokenizer.ggml.model"] = "gpt2";
  m["tokenizer.ggml.pre"] = "qwen2";
  m["tokenizer.ggml.tokens"] = tokens;
  m["tokenizer.ggml.token_type"] = types;
  m["tokenizer.ggml.merges"] = Json::array({"a b"});
  m["tokenizer.ggml.bos_token_id"] = 257;
  m["tokenizer.ggml.eos_token_id"] = 257;
  return m;
}

std::string failure_after(const std::function<void(Json&)>& change) {
  Json m = metadata();
  change(m);
  return failure([&] { Tokenizer::from_gguf(m, "m.gguf"); });
}

}  // namespace

TEST_CASE("token types") {
  const Tokenizer t = Tokenizer::from_gguf(metadata(), "m.gguf");
  CHECK(t.vocab_size() == 260);
  CHECK(t.encode("ab<eot><tool>[PAD]") == Ids{256, 257, 258, '[', 'P', 'A', 'D', ']'});
  CHECK(t.encode("<eot><tool>", false) == Ids{'<', 'e', 'o', 't', '>', 258});
  CHECK(t.is_special(257));
  CHECK_FALSE(t.is_special(258));
  CHECK(t.token_bytes(258) == "<tool>");
  CHECK(t.token_bytes(259).empty());
  CHECK(t.bos() == 257);
  CHECK(t.stop_ids() == Ids{257});
}

TEST_CASE("bos is added as the file says, else as the pre-tokenizer's models do") {
  Json m = metadata();
  CHECK_FALSE(Tokenizer::from_gguf(m, "").add_bos());
  m["tokenizer.ggml.add_bos_token"] = true;
  CHECK(Tokenizer::from_gguf(m, "").add_bos());
  m["tokenizer.ggml.pre"] = "llama-bpe";
  m.erase("tokenizer.ggml.add_bos_token");
  CHECK(Tokenizer::from_gguf(m, "").add_bos());
  m["tokenizer.ggml.add_bos_token"] = false;
  CHECK_FALSE(Tokenizer::from_gguf(m, "").add_bos());
}

TEST_CASE("the end-of-turn token stops too; the chat template and no pre-tokenizer") {
  Json m = metadata();
  m["tokenizer.ggml.eot_token_id"] = 258;
  m["tokenizer.chat_template"] = "x";
  m.erase("tokenizer.ggml.pre");
  m.erase("tokenizer.ggml.token_type");
  const Tokenizer t = Tokenizer::from_gguf(m, "");
  CHECK(t.stop_ids() == Ids{257, 258});
  CHECK(t.is_special(258));
  CHECK(t.chat_template() == "x");
}

TEST_CASE("GGUF: other models and pre-tokenizers are named") {
  REQUIRE(failure_after([](Json& m) { m["tokenizer.ggml.model"] = "t5"; }) ==
          "input m.gguf: tokenizer.ggml.model: 't5' is not supported\n"
          "  note: supported: gpt2 (byte-level BPE), llama (SentencePiece BPE)\n"
          "  note: --tokenizer PATH takes another tokenizer, such as the model's tokenizer.json");
  CHECK(failure_after([](Json& m) { m["tokenizer.ggml.pre"] = "qwen3"; })
            .starts_with("input m.gguf: unknown pre-tokenizer 'qwen3' (tokenizer.ggml.pre)\n"
                         "  note: did you mean 'qwen2'"));
}

TEST_CASE("GGUF: contradictions are named") {
  REQUIRE(failure_after([](Json& m) { m["tokenizer.ggml.token_type"].push_back(1); }) ==
          "input m.gguf: tokenizer.ggml.token_type has 261 entries, tokenizer.ggml.tokens 260");
  REQUIRE(failure_after([](Json& m) { m["tokenizer.ggml.merges"].push_back("ab"); }) ==
          "input m.gguf: tokenizer.ggml.merges[1]: expected two tokens with a space between, found "
          "'ab'");
  REQUIRE(failure_after([](Json& m) { m["tokenizer.ggml.merges"].push_back("a zz"); }) ==
          "input m.gguf: merge 1 ('a' + 'zz'): 'zz' is not in the vocabulary");
  REQUIRE(
      failure_after([](Json& m) { m["tokenizer.ggml.eos_token_id"] = 260; }) ==
      "input m.gguf: 'tokenizer.ggml.eos_token_id': expected a token id from 0 to 259, found 260");
  REQUIRE(failure_after([](Json& m) {
            m["tokenizer.ggml.tokens"] = m["tokenizer.ggml.token_type"] =
                m["tokenizer.ggml.merges"] = Json::array();
          }) == "input m.gguf: 'tokenizer.ggml.tokens' is empty");
  REQUIRE(failure_after([](Json& m) { m["tokenizer.ggml.token_type"][7] = "x"; }) ==
          "input m.gguf: tokenizer.ggml.token_type[7]: expected an integer, found \"x\"");
}

TEST_CASE("GGUF: ids are checked against the vocabulary, in 64 bits") {
  for (const std::string name : {"unknown", "bos", "eos", "eot", "eom"})
    for (const Json& wrong : {Json(4294967295u), Json(4294967296 + 1), Json(-1), Json(1.0),
                              Json(18446744073709551615u), Json("1")}) {
      const std::string key = "tokenizer.ggml." + name + "_token_id";
      REQUIRE(failure_after([&](Json& m) { m[key] = wrong; }) ==
              "input m.gguf: '" + key + "': expected a token id from 0 to 259, found " +
                  wrong.dump());
    }
  CHECK(failure_after([](Json& m) { m["tokenizer.ggml.eom_token_id"] = 259; }) == "nothing thrown");
}

TEST_CASE("keys that are missing or of another type are input errors") {
  CHECK(failure([] { Tokenizer::from_gguf(1, "m.gguf"); }).starts_with("input m.gguf: "));
  for (const char* key :
       {"tokenizer.ggml.model", "tokenizer.ggml.tokens", "tokenizer.ggml.merges"}) {
    INFO(key);
    REQUIRE(failure_after([&](Json& m) { m.erase(key); }) ==
            "input m.gguf: '" + std::string(key) + "' is missing");
  }
  for (const char* key :
       {"tokenizer.ggml.model", "tokenizer.ggml.pre", "tokenizer.ggml.tokens",
        "tokenizer.ggml.token_type", "tokenizer.ggml.merges", "tokenizer.ggml.bos_token_id",
        "tokenizer.ggml.eos_token_id", "tokenizer.ggml.add_bos_token", "tokenizer.chat_template",
        "tokenizer.ggml.unknown_token_id"})
    for (const Json& wrong : {Json(1.5), Json(Json::array({1.5}))}) {
      INFO(key << " = " << wrong.dump());
      CHECK(failure_after([&](Json& m) { m[key] = wrong; }).starts_with("input m.gguf: "));
    }
}

// sentencepiece.json: make_sentencepiece.py. SentencePiece writes unknown tokens in its own way:
// texts with one are not compared.
TEST_CASE("SentencePiece's own ids of texts and bytes, and back") {
  const Json data = ktx::test::tokenizer_vectors("sentencepiece.json");
  auto texts = data["texts"].get<std::vector<std::string>>();
  for (const auto& bytes : data["bytes"])
    texts.push_back(ktx::test::from_hex(bytes.get<std::string>()));
  REQUIRE(data["cases"].size() == 3);
  REQUIRE(texts.size() >= 100);
  for (const auto& c : data["cases"]) {
    const Tokenizer t = Tokenizer::from_gguf(c["gguf"], "m.gguf");
    for (size_t i = 0; i < texts.size(); ++i) {
      INFO(c["name"].get<std::string>() << ": " << texts[i]);
      const auto expected = c["ids"][i].get<Ids>();
      CHECK(t.encode(texts[i]) == expected);
      if (!c["decoded"][i].is_null())
        CHECK(t.decode(expected) == c["decoded"][i].get<std::string>());
    }
  }
}

TEST_CASE("GGUF, SentencePiece: what is added, and where a text goes on") {
  const Json data = ktx::test::tokenizer_vectors("sentencepiece.json");
  const Tokenizer t = Tokenizer::from_gguf(data["cases"][0]["gguf"], "m.gguf");
  CHECK(t.add_bos());
  CHECK(t.is_special(0));
  const Ids ids = t.encode("hello");
  Ids twice = ids;
  twice.push_back(1);
  twice.insert(twice.end(), ids.begin(), ids.end());
  CHECK(t.encode("hello<s>hello") == twice);
  ktx::text::Detokenizer goes_on(t), begins(t, {.begins = true});
  std::string on, anew;
  for (const int32_t id : ids) on += goes_on.push(id);
  for (const int32_t id : ids) anew += begins.push(id);
  CHECK(on == " hello");
  CHECK(anew == "hello");
}

TEST_CASE("GGUF, SentencePiece: scores are checked") {
  const Json model = ktx::test::tokenizer_vectors("sentencepiece.json")["cases"][0]["gguf"];
  const auto failure_with = [&](const std::function<void(Json&)>& change) {
    Json m = model;
    change(m);
    return failure([&] { Tokenizer::from_gguf(m, "m.gguf"); });
  };
  REQUIRE(failure_with([](Json& m) { m.erase("tokenizer.ggml.scores"); }) ==
          "input m.gguf: 'tokenizer.ggml.scores' is missing");
  REQUIRE(failure_with([](Json& m) { m["tokenizer.ggml.scores"].push_back(1.0); }) ==
          "input m.gguf: tokenizer.ggml.scores has 701 entries, tokenizer.ggml.tokens 700");
  REQUIRE(failure_with([](Json& m) { m["tokenizer.ggml.scores"][7] = "x"; }) ==
          "input m.gguf: tokenizer.ggml.scores[7]: expected a number, found \"x\"");
}

TEST_CASE("GGUF: a tokenizer.json inside serves where the keys can't tell") {
  Json m = metadata();
  m["tokenizer.ggml.bos_token_id"] = m["tokenizer.ggml.eos_token_id"] = 5;
  m["tokenizer.huggingface.json"] = ktx::base::dump_json(ktx::test::byte_tokenizer({"h i"}));
  const auto vocabulary = [&] { return Tokenizer::from_gguf(m, "m.gguf").encode("hi"); };
  const Ids own = vocabulary();
  m["tokenizer.ggml.pre"] = "unheard-of";
  CHECK(vocabulary() == Ids{256});
  CHECK(own != Ids{256});
  m["tokenizer.ggml.model"] = "unheard-of";
  CHECK(vocabulary() == Ids{256});
  m["tokenizer.ggml.bos_token_id"] = m["tokenizer.ggml.eos_token_id"] = 5;
  m["tokenizer.huggingface.json"] = "{";
  CHECK(failure(vocabulary).starts_with("input m.gguf (tokenizer.huggingface.json)"));
}
