// Reading tokenizer.json and its config, right and wrong ones.
#include <functional>

#include "catch.hpp"
#include "core/base/failure.hpp"
#include "text/tokenizer_data.hpp"

using ktx::Json;
using ktx::test::added;
using ktx::test::byte_tokenizer;
using ktx::test::failure;
using ktx::text::Tokenizer;

namespace {

using Ids = std::vector<int32_t>;
using Change = std::function<void(Json&)>;

Tokenizer made(const Json& json, const Json* config = nullptr) {
  return Tokenizer::from_tokenizer_json(json, config, "t.json");
}

std::string failure_after(const Change& change) {
  Json json = byte_tokenizer({"a b", "ab c"});
  json["added_tokens"] = Json::array({added(300, "<s>", {{"special", true}})});
  change(json);
  return failure([&] { made(json); });
}

Json with_markers() {
  Json json = byte_tokenizer();
  json["added_tokens"] = Json::array({added(256, "<s>", {{"special", true}}),
                                      added(257, "<|im_end|>", {{"special", true}}),
                                      added(258, "<e>", {{"special", false}})});
  return json;
}

}  // namespace

TEST_CASE("merges as strings and as pairs are the same") {
  Json json = byte_tokenizer({"a b", "ab c"});
  const Ids expected = made(json).encode("abcab");
  json["model"]["merges"] = Json::array({Json::array({"a", "b"}), Json::array({"ab", "c"})});
  CHECK(made(json).encode("abcab") == expected);
  CHECK(expected == Ids{257, 256});
}

TEST_CASE("normalizers") {
  const auto encoded = [](const Json& normalizer, const char* text) {
    Json json = byte_tokenizer();
    json["normalizer"] = normalizer;
    const Tokenizer t = made(json);
    return t.decode(t.encode(text));
  };
  CHECK(encoded(nullptr, "e\u0301") == "e\u0301");
  CHECK(encoded({{"type", "NFC"}}, "e\u0301") == "\u00e9");
  CHECK(encoded({{"type", "NFKD"}}, "ﬁ") == "fi");
  Json sequence{{"type", "Sequence"}, {"normalizers", Json::array()}};
  CHECK(encoded(sequence, "e\u0301") == "e\u0301");
  sequence["normalizers"] = Json::array({{{"type", "NFD"}}, {{"type", "NFC"}}});
  CHECK(encoded(sequence, "e\u0301") == "\u00e9");
}

TEST_CASE("the config names bos, eos and the template") {
  Json config;
  config["bos_token"] = "<s>";
  config["eos_token"] = {{"content", "<e>"}, {"lstrip", false}};
  config["add_bos_token"] = true;
  config["chat_template"] = "text";
  const Tokenizer t = made(with_markers(), &config);
  CHECK(t.bos() == 256);
  CHECK(t.eos() == 258);
  CHECK(t.is_special(258));
  CHECK(t.stop_ids() == Ids{258, 257});
  CHECK(t.add_bos());
  CHECK(t.chat_template() == "text");

  config["chat_template"] = Json::array(
      {{{"name", "tool_use"}, {"template", "a"}}, {{"name", "default"}, {"template", "b"}}});
  config["add_bos_token"] = nullptr;
  CHECK(made(with_markers(), &config).chat_template() == "b");
  CHECK_FALSE(made(with_markers(), &config).add_bos());

  const Tokenizer bare = made(with_markers());
  CHECK_FALSE(bare.bos());
  CHECK_FALSE(bare.eos());
  CHECK_FALSE(bare.chat_template());
  CHECK(bare.stop_ids() == Ids{257});
}

TEST_CASE("a post-processor that begins with bos adds it, unless the config says otherwise") {
  Json json = with_markers();
  json["post_processor"] = ktx::base::parse_json(
      R"({"type":"Sequence","processors":[{"type":"ByteLevel"},{"type":"TemplateProcessing",
          "single":[{"SpecialToken":{"id":"<s>","type_id":0}},{"Sequence":{"id":"A","type_id":0}}]}]})",
      "");
  Json config{{"bos_token", "<s>"}};
  CHECK(made(json, &config).add_bos());
  config["add_bos_token"] = false;
  CHECK_FALSE(made(json, &config).add_bos());
}

TEST_CASE("other kinds of tokenizers are named as not supported") {
  REQUIRE(failure_after([](Json& j) { j["model"]["type"] = "Unigram"; }) ==
          "input t.json: tokenizer model of type 'Unigram' is not supported\n"
          "  note: supported: BPE");
  REQUIRE(failure_after([](Json& j) { j["model"]["end_of_word_suffix"] = "</w>"; }) ==
          "input t.json: tokenizer model with 'end_of_word_suffix' is not supported");
  REQUIRE(failure_after([](Json& j) { j["model"]["dropout"] = 0.1; }) ==
          "input t.json: tokenizer model with 'dropout' is not supported");
  REQUIRE(
      failure_after([](Json& j) {
        j["normalizer"] = {{"type", "NFKc"}};
      }) ==
      "input t.json: normalizer of type 'NFKc' is not supported\n"
      "  note: did you mean 'NFKC' or 'NFC' or 'NFKD'?\n"
      "  note: valid types: Sequence, NFC, NFD, NFKC, NFKD, Prepend, Replace, Strip, Lowercase, "
      "StripAccents");
}

TEST_CASE("tokenizer.json: contradictions are named") {
  REQUIRE(failure_after([](Json& j) { j["model"]["vocab"]["zz"] = 97; }) ==
          "input t.json: model.vocab: id 97 is both 'a' and 'zz'");
  REQUIRE(failure_after([](Json& j) { j["model"]["merges"].push_back("a zz"); }) ==
          "input t.json: merge 2 ('a' + 'zz'): 'zz' is not in the vocabulary");
  REQUIRE(failure_after([](Json& j) { j["model"]["merges"].push_back("b a"); }) ==
          "input t.json: merge 2 ('b' + 'a'): 'ba' is not in the vocabulary");
  REQUIRE(failure_after([](Json& j) { j["model"]["merges"].push_back("abc"); }) ==
          "input t.json: model.merges[2]: expected \"a b\" or [\"a\", \"b\"], found \"abc\"");
  REQUIRE(failure_after([](Json& j) { j["model"]["vocab"]["zz"] = 1e9; }) ==
          "input t.json: 'model.vocab': expected a token id from 0 to 4194303, found 1000000000.0");
  REQUIRE(failure_after([](Json& j) { j["model"]["vocab"]["zz"] = -1; }) ==
          "input t.json: 'model.vocab': expected a token id from 0 to 4194303, found -1");
  REQUIRE(failure_after([](Json& j) { j["model"]["unk_token"] = "zz"; }) ==
          "input t.json: unk_token 'zz' is not in the vocabulary");
  REQUIRE(failure_after([](Json& j) { j["added_tokens"][0]["content"] = ""; }) ==
          "input t.json: added token 300 is empty");
  const Json config{{"eos_token", "</x>"}};
  REQUIRE(failure([&] { made(with_markers(), &config); }) ==
          "input tokenizer_config.json: eos_token '</x>' is not in the vocabulary");
  const Json adds{{"add_bos_token", true}};
  REQUIRE(failure([&] { made(with_markers(), &adds); }) ==
          "input t.json: the tokenizer adds a bos token but names none");
}

TEST_CASE("tokenizer.json: more merges or tokens than any vocabulary has") {
  REQUIRE(failure_after([](Json& j) { j["model"]["vocab"]["zz"] = 1 << 22; }) ==
          "input t.json: 'model.vocab': expected a token id from 0 to 4194303, found 4194304");
  REQUIRE(failure_after([](Json& j) {
            j["added_tokens"].push_back(added(301, std::string(1 << 22, 'x'), {}));
          }) == "input t.json: added tokens: expected at most 4194304 bytes in all, found 4194307");
  const auto merges = [](Json& j) {
    j["model"]["merges"] = std::vector((1 << 21) + 1, Json("a b"));
  };
  REQUIRE(failure_after(merges) ==
          "input t.json: 'model.merges': expected at most 2097152 entries, found 2097153");
}

TEST_CASE("members that are missing or of another type are input errors") {
  CHECK(failure([] { made(Json::array()); }).starts_with("input t.json: "));
  for (const char* path : {"/model", "/model/vocab", "/model/merges", "/pre_tokenizer"}) {
    INFO(path);
    CHECK(failure_after([&](Json& j) {
            j[Json::json_pointer(path)] = nullptr;
          }).starts_with("input t.json: "));
  }
  for (const char* path :
       {"/model", "/model/type", "/model/vocab", "/model/merges", "/model/merges/0",
        "/model/byte_fallback", "/model/ignore_merges", "/model/unk_token", "/model/dropout",
        "/model/vocab/a", "/pre_tokenizer", "/normalizer", "/added_tokens", "/added_tokens/0",
        "/added_tokens/0/id", "/added_tokens/0/content", "/added_tokens/0/special",
        "/added_tokens/0/lstrip"}) {
    for (const Json& wrong : {Json(1.5), Json(Json::array({Json::array()}))}) {
      INFO(path << " = " << wrong.dump());
      CHECK(failure_after([&](Json& j) {
              j[Json::json_pointer(path)] = wrong;
            }).starts_with("input t.json: "));
    }
  }
  for (const char* name : {"bos_token", "eos_token", "add_bos_token", "chat_template"}) {
    INFO(name);
    const Json config{{name, 7}};
    CHECK(failure([&] {
            made(with_markers(), &config);
          }).starts_with("input tokenizer_config.json: "));
  }
}

// tokenizers.json: make_tokenizers.py.
TEST_CASE("the tokenizers library's own ids and texts") {
  const Json data = ktx::test::tokenizer_vectors("tokenizers.json");
  const auto texts = data["texts"].get<std::vector<std::string>>();
  REQUIRE(data["cases"].size() == 9);
  REQUIRE(texts.size() >= 100);
  for (const auto& c : data["cases"]) {
    const Tokenizer t = made(c["tokenizer"]);
    for (size_t i = 0; i < texts.size(); ++i) {
      INFO(c["name"].get<std::string>() << ": " << texts[i]);
      const auto expected = c["ids"][i].get<Ids>();
      CHECK(t.encode(texts[i]) == expected);
      CHECK(t.decode(expected) == c["decoded"][i].get<std::string>());
    }
  }
}

TEST_CASE("without a decoder, the vocabulary's spelling says what tokens are") {
  Json json = byte_tokenizer();
  CHECK(made(json).decode(Ids{'a'}) == "a");
  json["model"]["byte_fallback"] = true;
  json["model"]["vocab"] = {{"▁a", 0}, {"<0xC3>", 1}, {"<0xA9>", 2}};
  json["pre_tokenizer"] = nullptr;
  CHECK(made(json).decode(Ids{0, 1, 2, 0}) == " aé a");
  json["normalizer"] = {{"type", "Prepend"}, {"prepend", "▁"}};
  CHECK(made(json).decode(Ids{0, 1, 2, 0}) == "aé a");
  json["model"]["byte_fallback"] = false;
  REQUIRE(failure([&] { made(json); }) ==
          "input t.json: 'decoder' is missing, and the vocabulary spells no bytes");
}

TEST_CASE("the space before a section is put there once, whatever parts it comes in") {
  Json json = byte_tokenizer();
  json["model"]["byte_fallback"] = true;
  json["model"]["vocab"] = {{"▁", 0}, {"a", 1}, {"b", 2}};
  json["pre_tokenizer"] = nullptr;
  json["normalizer"] = {{"type", "Prepend"}, {"prepend", "▁"}};
  json["added_tokens"] = Json::array({added(3, "<s>", {{"special", true}})});
  const Tokenizer t = made(json);
  const std::vector<ktx::text::TextPart> parts{
      {"a", true}, {"b", false}, {"<s>", true}, {"b", false}};
  CHECK(t.encode(parts) == Ids{0, 1, 2, 3, 0, 2});
}
