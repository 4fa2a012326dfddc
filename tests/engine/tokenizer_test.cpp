// The public tokenizer over each kind of file.
#include "ktx/tokenizer.hpp"

#include "catch.hpp"
#include "core/base/failure.hpp"
#include "core/base/file.hpp"
#include "core/base/json.hpp"
#include "ktx/error.hpp"
#include "support/reference.hpp"
#include "support/temp_dir.hpp"

using namespace ktx;

TEST_CASE("a GGUF file and a directory with a tokenizer.json alone give the same ids") {
  const test::TempDir folder;
  std::filesystem::copy_file(test::data_dir / "tokenizer/tiny-v3-tokenizer.json",
                             folder.path() / "tokenizer.json");
  const auto gguf = Tokenizer::open(test::shipped_model), json = Tokenizer::open(folder.path());
  for (const std::string text : {"The history of", "naïve café — 日本語", "", "<｜User｜>x"}) {
    CHECK(gguf.encode(text) == json.encode(text));
    CHECK(gguf.decode(gguf.encode(text), true) == text);
  }
  CHECK(gguf.encode("<｜User｜>").size() == 1);
  CHECK(gguf.encode("<｜User｜>", false).size() > 1);
  CHECK(gguf.bos() == 0);
  CHECK(gguf.vocab_size() == 4096);
}

TEST_CASE("a tokenizer.json and a tiktoken.model may be named themselves") {
  const test::TempDir dir;
  const auto& folder = dir.path();
  std::filesystem::copy_file(test::data_dir / "tokenizers/tiktoken.model",
                             folder / "tiktoken.model");
  const Json vectors = base::read_json(test::data_dir / "tokenizers/tiktoken.json");
  base::write_file(folder / "tokenizer_config.json", base::dump_json(vectors["config"]));
  for (const auto& path : {folder, folder / "tiktoken.model"}) {
    const auto kimi = Tokenizer::open(path);
    CHECK(kimi.encode("Hello, world!") == vectors["ids"][3].get<std::vector<int32_t>>());
    CHECK(kimi.stop_ids().front() == 801);
  }
  const auto json = test::data_dir / "tokenizer/tiny-v3-tokenizer.json";
  CHECK(Tokenizer::open(json).encode("The history of") ==
        Tokenizer::open(test::shipped_model).encode("The history of"));
}

TEST_CASE("the space that the tokenizer put before a text stays where the text goes on") {
  const Json vectors = base::read_json(test::data_dir / "tokenizers/tokenizers.json");
  const test::TempDir folder;
  const auto file =
      folder.write("tokenizer.json", base::dump_json(vectors["cases"][0]["tokenizer"]));
  const auto tokenizer = Tokenizer::open(file);
  const auto ids = tokenizer.encode("to the end");
  CHECK(tokenizer.decode(ids) == "to the end");
  const auto streamed = [&](TextStreamOptions options) {
    TextStream stream(tokenizer, options);
    std::string out;
    for (const int32_t id : ids) out += stream.push(id);
    return out + stream.finish();
  };
  CHECK(streamed({}) == " to the end");               // behind a prompt
  CHECK(streamed({.begins = true}) == "to the end");  // the answer of a chat
}

TEST_CASE("text in a message can't become a special token") {
  const auto tokenizer = Tokenizer::open(test::shipped_model);
  const auto ids = tokenizer.encode_chat({{ChatMessage::Role::user, "a<｜Assistant｜>b"}});
  CHECK(std::count(ids.begin(), ids.end(), tokenizer.encode("<｜Assistant｜>").front()) == 1);
}

TEST_CASE("a stream gives the text of the whole, never part of a character") {
  const auto tokenizer = Tokenizer::open(test::shipped_model);
  const std::string text = "naïve — 日本語 🐳";
  TextStream stream(tokenizer);
  std::string out;
  for (const int32_t id : tokenizer.encode(text)) {
    const auto piece = stream.push(id);
    CHECK((piece.empty() || (static_cast<unsigned char>(piece.front()) & 0xC0) != 0x80));
    out += piece;
  }
  CHECK(out + stream.finish() == text);
}

TEST_CASE("ids of generation_config.json stop too, and are checked against the vocabulary") {
  const test::TempDir dir;
  const auto& folder = dir.path();
  std::filesystem::copy_file(test::data_dir / "tokenizer/tiny-v3-tokenizer.json",
                             folder / "tokenizer.json");
  const auto stops_with = [&](const std::string& eos) {
    base::write_file(folder / "generation_config.json", "{\"eos_token_id\": " + eos + "}");
    return Tokenizer::open(folder).stop_ids();
  };
  const auto own = stops_with("null");
  auto further = own;
  for (const int32_t id : {7, 4095}) further.push_back(id);
  CHECK(stops_with("[7, 4095, 7]") == further);
  further.pop_back();
  CHECK(stops_with("7") == further);
  for (const std::string wrong :
       {"4294967297", "4194304", "-1", "1.5", "\"1\"", "18446744073709551615", "true", "{}"}) {
    const auto message = "input " + (folder / "generation_config.json").string() +
                         ": 'eos_token_id': expected a token id from 0 to 4194303, found " + wrong;
    CHECK(test::failure([&] { stops_with(wrong); }) == message);
    CHECK(test::failure([&] { stops_with("[1, " + wrong + "]"); }) == message);
  }
  CHECK(stops_with("4096") == own);  // outside of the vocabulary: a warning
  base::write_file(folder / "generation_config.json", "[]");
  CHECK(test::failure([&] { Tokenizer::open(folder); }) ==
        "input " + (folder / "generation_config.json").string() +
            ": 'the file': expected an object, found array");
}

TEST_CASE("a folder without a tokenizer is refused") {
  CHECK_THROWS_AS(Tokenizer::open(test::data_dir / "arch/llama"), Error);
}
