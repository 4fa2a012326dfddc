// Reference vectors, special tokens, odd bytes, hostile texts.
#include "text/tokenizer.hpp"

#include <cstdlib>
#include <filesystem>
#include <thread>

#include "catch.hpp"
#include "core/base/failure.hpp"
#include "support/temp_dir.hpp"
#include "text/tokenizer_data.hpp"

using ktx::Json;
using ktx::test::added;
using ktx::test::byte_tokenizer;
using ktx::test::failure;
using ktx::text::TextPart;
using ktx::text::Tokenizer;

namespace {

using Ids = std::vector<int32_t>;

Tokenizer made(const Json& json) {
  return Tokenizer::from_tokenizer_json(json, nullptr, "t.json");
}

void check_vectors(const Tokenizer& tokenizer, const Json& vectors, size_t count) {
  REQUIRE(vectors.size() == count);
  for (const auto& vector : vectors) {
    const auto text = vector["text"].get<std::string>();
    INFO(text);
    const Ids ids = tokenizer.encode(text);
    CHECK(ids == vector["ids"].get<Ids>());
    CHECK(tokenizer.decode(ids) == text);
  }
}

// That a text is not refused says that it took steps in proportion to its length.
void check_returns(const Tokenizer& tokenizer, const std::string& text) {
  CHECK((tokenizer.decode(tokenizer.encode(text)) == text));
}

std::string repeated(std::string_view unit, size_t bytes) {
  std::string text;
  while (text.size() < bytes) text += unit;
  return text;
}

}  // namespace

TEST_CASE("every reference vector of tiny-v3, from both file formats") {
  const Json vectors = ktx::test::tokenizer_data("tiny-v3-vectors.json");
  check_vectors(ktx::test::tiny_v3(), vectors, 31);
  check_vectors(ktx::test::tiny_v3_gguf(), vectors, 31);
}

TEST_CASE("every reference vector of DeepSeek-V3's published tokenizer") {
  if (std::system("command -v xz > /dev/null") != 0)
    SKIP("there is no xz to unpack deepseek-v3-tokenizer.json.xz");
  const ktx::test::TempDir folder;
  const auto file = (folder.path() / "tokenizer.json").string();
  const std::string command =
      "xz -dkc '" KTX_TEST_DATA "/tokenizer/deepseek-v3-tokenizer.json.xz' > '" + file + "'";
  REQUIRE(std::system(command.c_str()) == 0);
  const Tokenizer tokenizer = made(ktx::base::read_json(file));
  check_vectors(tokenizer, ktx::test::tokenizer_data("deepseek-v3-vectors.json"), 70);
  CHECK(tokenizer.vocab_size() == 128815);
  // Its file does not call the role tokens special; they steer the model all the same.
  CHECK(tokenizer.is_special(tokenizer.added_token("<｜User｜>").value()));
  CHECK(tokenizer.encode("<｜User｜>", false).size() > 1);
  CHECK_FALSE(tokenizer.is_special(tokenizer.encode(" the").at(0)));

  std::string text;
  for (const auto& vector : ktx::test::tokenizer_data("deepseek-v3-vectors.json"))
    text += vector["text"].get<std::string>() + "\n";
  while (text.size() < 1'000'000) text += text;
  text.resize(1'000'000);
  check_returns(tokenizer, text);
  check_returns(tokenizer, std::string(1'000'000, 'a'));
}

TEST_CASE("tiny-v3's special tokens") {
  for (const Tokenizer& t : {ktx::test::tiny_v3(), ktx::test::tiny_v3_gguf()}) {
    CHECK(t.vocab_size() == 4096);
    CHECK(t.bos() == 0);
    CHECK(t.eos() == 1);
    CHECK(t.stop_ids() == Ids{1});
    CHECK(t.add_bos());
    CHECK(t.chat_template().value().find("<｜Assistant｜>") != std::string::npos);
    for (int32_t id = 0; id < 5; ++id) CHECK(t.is_special(id));
    CHECK_FALSE(t.is_special(5));
    CHECK_FALSE(t.is_special(-1));
    CHECK_FALSE(t.is_special(4096));
    CHECK(t.token_bytes(3) == "<｜User｜>");
    CHECK(t.added_token("<｜User｜>") == 3);
    CHECK_FALSE(t.added_token("the"));
    CHECK(t.encode("a<｜User｜>b") == Ids{t.encode("a")[0], 3, t.encode("b")[0]});
    const Ids plain = t.encode("<｜User｜>", false);
    CHECK(plain.size() > 3);
    CHECK(t.decode(plain) == "<｜User｜>");
  }
}

TEST_CASE("bytes of any kind come back") {
  const Tokenizer tokenizer = ktx::test::tiny_v3();
  std::string every;
  for (int byte = 0; byte < 256; ++byte) every += static_cast<char>(byte);
  for (const std::string& text : {every, std::string(3, '\0'), std::string("\xC3"),
                                  std::string("ok \xF0\x9F\x98 ok \xFF"), std::string()}) {
    CHECK(tokenizer.decode(tokenizer.encode(text)) == text);
  }
  CHECK(tokenizer.encode("").empty());
}

TEST_CASE("a run of bytes that is not UTF-8 does not change how the rest is cut") {
  const Tokenizer tokenizer = ktx::test::tiny_v3();
  const Ids a = tokenizer.encode("Hello"), b = tokenizer.encode(" world");
  const Ids bytes = tokenizer.encode("\xFF\xFE");
  Ids expected = a;
  expected.insert(expected.end(), bytes.begin(), bytes.end());
  expected.insert(expected.end(), b.begin(), b.end());
  CHECK(tokenizer.encode("Hello\xFF\xFE world") == expected);
}

TEST_CASE("parts are one text, special tokens only where they may be") {
  const Tokenizer t = ktx::test::tiny_v3();
  const auto encode = [&](std::vector<TextPart> parts) { return t.encode(parts); };
  CHECK(encode({{"Hel", true}, {"lo wor", false}, {"ld", true}}) == t.encode("Hello world"));
  Ids expected{3};
  for (const int32_t id : t.encode("a<｜Assistant｜>", false)) expected.push_back(id);
  expected.push_back(4);
  CHECK(encode({{"<｜User｜>", true}, {"a<｜Assistant｜>", false}, {"<｜Assistant｜>", true}}) ==
        expected);
  // Halves of a special token in neighbouring parts don't make one.
  CHECK(encode({{"<｜Us", false}, {"er｜>", true}}) == t.encode("<｜User｜>", false));
  CHECK(encode({}).empty());
}

TEST_CASE("merges, ignore_merges and an unknown token") {
  Json json = byte_tokenizer({"a b", "b c", "ab c"});
  CHECK(made(json).encode("abc") == Ids{258});
  CHECK(made(json).encode("bcab") == Ids{257, 256});
  json["model"]["vocab"]["cba"] = 300;
  CHECK(made(json).encode("cba") == Ids{'c', 'b', 'a'});
  json["model"]["ignore_merges"] = true;
  CHECK(made(json).encode("cba") == Ids{300});
  CHECK(made(json).vocab_size() == 301);
  CHECK(made(json).token_bytes(280).empty());

  Json lacking = byte_tokenizer();
  lacking["model"]["vocab"].erase("z");
  REQUIRE(failure([&] { made(lacking).encode("az"); }) ==
          "input the text has the byte 122, which the vocabulary has no token for");
  lacking["model"]["unk_token"] = "?";
  CHECK(made(lacking).encode("az") == Ids{'a', '?'});
}

TEST_CASE("added tokens: flags, and those looked for after the normalizer") {
  Json json = byte_tokenizer();
  json["normalizer"] = {{"type", "NFC"}};
  json["added_tokens"] = Json::array({
      added(300, "<s>", {{"special", true}}),
      added(301, "\u212b", {{"normalized", true}, {"special", false}}),
      added(302, "<l>", {{"normalized", false}, {"lstrip", true}}),
      added(303, "e\u0301", {{"normalized", false}}),
  });
  const Tokenizer t = made(json);
  CHECK(t.encode("\u00c5\u212bA\u030a") == Ids{301, 301, 301});
  CHECK(t.encode("a \t<l>") == Ids{'a', 302});
  CHECK(t.encode("e\u0301") == Ids{303});
  CHECK(t.encode("e\u0302") == t.encode("\u00ea"));
  CHECK(t.encode("<s>") == Ids{300});
  CHECK(t.encode("<s>\u00c5", false) == Ids{'<', 's', '>', 301});
}

TEST_CASE("ids that are not in the vocabulary are errors") {
  const Tokenizer t = ktx::test::tiny_v3();
  REQUIRE(failure([&] {
            t.decode(Ids{5, 4096});
          }) == "input token id 4096 is not in the vocabulary of 4096");
  REQUIRE(failure([&] { t.token_bytes(-1); }) ==
          "input token id -1 is not in the vocabulary of 4096");
}

TEST_CASE("one tokenizer serves several threads") {
  const Tokenizer t = ktx::test::tiny_v3();
  const std::string text = "The quick brown fox — 1234 — jumps over 深度 dogs.\n";
  const Ids expected = t.encode(text);
  std::vector<std::thread> threads;
  std::vector<int> right(4);
  for (size_t i = 0; i < right.size(); ++i)
    threads.emplace_back([&, i] {
      for (int round = 0; round < 100; ++round) right[i] += t.encode(text) == expected;
    });
  for (auto& thread : threads) thread.join();
  CHECK(right == std::vector<int>{100, 100, 100, 100});
}

TEST_CASE("hostile texts of a megabyte are encoded") {
  const Tokenizer t = ktx::test::tiny_v3();
  for (const std::string unit : {"a", " ", "\n", "é", "<", "<｜", "😀", "\u0301", "a\u0301\u0316",
                                 " 1a", "a' ", "\xff", "\xff\n", "<｜User｜>"}) {
    INFO(unit);
    check_returns(t, repeated(unit, 1'000'000) + "x");
  }
}

TEST_CASE("hostile texts of a megabyte are normalised and encoded") {
  Json json = byte_tokenizer({"a a", "aa aa"});
  json["normalizer"] = {{"type", "NFC"}};
  const Tokenizer t = made(json);
  const std::string text = "a" + repeated("\u0316\u0301", 1'000'000);
  const Ids ids = t.encode(text);
  CHECK(ids.size() == text.size() - 1);  // á is a byte shorter than a and its accent
  CHECK((t.encode(t.decode(ids)) == ids));
}

TEST_CASE("a hostile tokenizer.json refuses a text, for its reason") {
  const std::string text(100'000, 'a');
  Json json = byte_tokenizer();
  Json sequence{{"type", "Sequence"}, {"normalizers", Json::array()}};
  for (int i = 0; i < 100; ++i) sequence["normalizers"].push_back({{"type", "NFC"}});
  json["normalizer"] = sequence;
  REQUIRE(failure([&] { made(json).encode(text); }) ==
          "input normalising the text takes more than 11000000 steps");
  json["added_tokens"] = Json::array({added(300, text, {{"normalized", true}})});
  CHECK(failure([&] { made(json); }).starts_with("input normalising the text takes more than 11"));

  // The budget is that of the whole call, whatever parts it comes in.
  json = byte_tokenizer();
  json["normalizer"] = sequence;
  const std::vector<TextPart> parts(50, TextPart{std::string_view(text).substr(0, 2000)});
  REQUIRE(failure([&] { made(json).encode(parts); }) ==
          "input normalising the text takes more than 11000000 steps");
  CHECK(made(json).encode(text.substr(0, 2000)).size() == 2000);
}
