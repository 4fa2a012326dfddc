// Each step of a decoder, and what is taken away where a text begins.
// covers: byte_tokens
#include "text/decoder.hpp"

#include "catch.hpp"
#include "core/base/failure.hpp"
#include "text/byte_tokens.hpp"

using ktx::Json;
using ktx::test::failure;
using ktx::text::Decoder;
using ktx::text::TextStart;

namespace {

std::string decoded(const Decoder& decoder, const std::vector<std::string>& tokens) {
  auto budget = ktx::text::StepBudget::for_text(1000);
  TextStart start = decoder.start();
  std::string out;
  for (const auto& token : tokens) out += start.cut(decoder.bytes(token, budget));
  return out;
}

std::string decoded(const std::string& json, const std::vector<std::string>& tokens) {
  return decoded(Decoder::from_json(ktx::base::parse_json(json, "x"), "t.json"), tokens);
}

constexpr const char* llama =
    R"({"type":"Sequence","decoders":[
        {"type":"Replace","pattern":{"String":"▁"},"content":" "},{"type":"ByteFallback"},
        {"type":"Fuse"},{"type":"Strip","content":" ","start":1,"stop":0}]})";

}  // namespace

TEST_CASE("byte tokens are spelled in hexadecimal") {
  CHECK(ktx::text::byte_of_token("<0x0A>") == 10);
  CHECK(ktx::text::byte_of_token("<0xff>") == 255);
  for (const char* none : {"", "<0x0>", "<0x0G>", "<0x00A>", "0x00", "<0x+1>", "<0x 1>", "<0X01>"})
    CHECK_FALSE(ktx::text::byte_of_token(none));
}

TEST_CASE("steps of a decoder") {
  CHECK(decoded(R"({"type":"ByteLevel"})", {"Ġa", "Ã©", "｜"}) == " aé｜");
  CHECK(decoded(R"({"type":"ByteFallback"})", {"<0xC3>", "<0xA9>", "<0x>"}) == "é<0x>");
  CHECK(decoded(R"({"type":"Strip","content":"a","start":1,"stop":1})", {"aab", "baa", "ac"}) ==
        "abbac");
  CHECK(decoded(R"({"type":"Replace","pattern":{"Regex":"[ab]"},"content":""})", {"abc"}) == "c");
  CHECK(decoded(R"({"type":"Fuse"})", {"a", "b"}) == "ab");
  CHECK(decoded(Decoder(), {"▁a"}) == "▁a");
  CHECK(decoded(Decoder::byte_level(), {"Ġa"}) == " a");
}

TEST_CASE("a text loses the space that was put before it, and no other") {
  for (const std::vector<std::string>& begin :
       {std::vector<std::string>{"▁a"}, {"▁", "a"}, {"<0x20>", "a"}}) {
    auto tokens = begin;
    tokens.emplace_back("▁b");
    CHECK(decoded(llama, tokens) == "a b");
    CHECK(decoded(Decoder::sentencepiece(true), tokens) == "a b");
    CHECK(decoded(Decoder::sentencepiece(false), tokens) == " a b");
  }
  CHECK(decoded(llama, {"▁▁a"}) == " a");
  CHECK(decoded(llama, {"a", "▁b"}) == "a b");
  TextStart start = Decoder::sentencepiece(true).start();
  start.end();
  CHECK(start.cut(" a") == " a");
}

TEST_CASE("Metaspace's first token loses its marks") {
  const char* always = R"({"type":"Metaspace","replacement":"▁","prepend_scheme":"always"})";
  CHECK(decoded(always, {"▁a", "▁b"}) == "a b");
  CHECK(decoded(always, {"▁▁a", "▁b"}) == "a b");
  CHECK(decoded(always, {"▁", "▁b"}) == " b");
  CHECK(decoded(R"({"type":"Metaspace","replacement":"_","prepend_scheme":"never"})", {"_a"}) ==
        " a");
}

TEST_CASE("decoders that are malformed or not supported") {
  REQUIRE(
      failure([] { decoded(R"({"type":"WordPiece"})", {}); }) ==
      "input t.json: decoder of type 'WordPiece' is not supported\n"
      "  note: valid types: Sequence, Fuse, Strip, ByteLevel, ByteFallback, Replace, Metaspace");
  REQUIRE(failure([] {
            decoded(R"({"type":"Sequence","decoders":[{"type":"Fuse"},{"type":"ByteFallback"}]})",
                    {});
          }) ==
          "input t.json: decoder of type 'ByteFallback' behind one that joins the tokens is not "
          "supported");
  for (const char* json : {"1", "{}", R"({"type":"Sequence"})", R"({"type":"Strip"})",
                           R"({"type":"Strip","content":"","start":1,"stop":0})",
                           R"({"type":"Strip","content":"a","start":-1,"stop":0})",
                           R"({"type":"Replace"})", R"({"type":"Metaspace"})",
                           R"({"type":"Sequence","decoders":[{"type":"Fuse"},
            {"type":"Strip","content":" ","start":0,"stop":1}]})"}) {
    INFO(json);
    CHECK(failure([&] { decoded(std::string(json), {}); }).starts_with("input t.json: "));
  }
}
