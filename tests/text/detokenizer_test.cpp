// Streaming at every cut, and replacement of what is invalid.
#include "text/detokenizer.hpp"

#include "catch.hpp"
#include "text/tokenizer_data.hpp"
#include "text/unicode.hpp"

using namespace ktx::text;

namespace {

const std::string text = "aé中😀\u0301z";
const std::string bad = "\xEF\xBF\xBD";  // U+FFFD

bool is_whole(std::string_view out) {
  return valid_prefix(out) == out.size();
}

}  // namespace

TEST_CASE("a text cut anywhere, once or twice, comes out whole") {
  for (size_t i = 0; i <= text.size(); ++i)
    for (size_t j = i; j <= text.size(); ++j) {
      Utf8Stream stream;
      const std::string parts[] = {stream.push(text.substr(0, i)),
                                   stream.push(text.substr(i, j - i)), stream.push(text.substr(j)),
                                   stream.finish()};
      for (const auto& part : parts) REQUIRE(is_whole(part));
      REQUIRE(parts[0] + parts[1] + parts[2] + parts[3] == text);
    }
}

TEST_CASE("a character comes out with its last byte and not later") {
  Utf8Stream stream;
  CHECK(stream.push("\xF0").empty());
  CHECK(stream.push("\x9F\x98").empty());
  CHECK(stream.push("\x80") == "😀");
  CHECK(stream.push("a") == "a");
  CHECK(stream.finish().empty());
}

TEST_CASE("invalid bytes are replaced the same way however they are cut") {
  struct Case {
    std::string bytes, expected;
  };
  for (const Case& c :
       {Case{"a\xFFz", "a" + bad + "z"}, Case{"\xE4\xB8z", bad + "z"},
        Case{"\xE4\xB8\xE4\xB8\xAD", bad + "中"}, Case{"\xED\xA0\x80", bad + bad + bad},
        Case{"\xF0\x9F\x98", bad}, Case{"\xC0\xAF", bad + bad}, Case{"\x80\x80", bad + bad},
        Case{"\xF4\x90\x80\x80", bad + bad + bad + bad}, Case{"\xC3", bad}}) {
    for (size_t cut = 0; cut <= c.bytes.size(); ++cut) {
      Utf8Stream stream;
      auto out = stream.push(c.bytes.substr(0, cut));
      out += stream.push(c.bytes.substr(cut));
      REQUIRE(out + stream.finish() == c.expected);
    }
  }
}

TEST_CASE("a stream begins anew after finish") {
  Utf8Stream stream;
  CHECK(stream.push("\xE4\xB8").empty());
  CHECK(stream.finish() == bad);
  CHECK(stream.finish().empty());
  CHECK(stream.push("\xAD") == bad);
}

TEST_CASE("ids stream as whole characters and add up to the text") {
  const Tokenizer tokenizer = ktx::test::tiny_v3();
  const std::string story = "She — naïve — wrote 深度求索 😀👩\u200d👧 in the margin.";
  const auto ids = tokenizer.encode(story);
  Detokenizer detokenizer(tokenizer);
  std::string out;
  bool held_back = false;
  for (const int32_t id : ids) {
    const auto piece = detokenizer.push(id);
    CHECK(is_whole(piece));
    held_back |= piece.empty();
    out += piece;
  }
  CHECK(held_back);
  CHECK(out + detokenizer.finish() == story);
}

TEST_CASE("special tokens are left out or printed") {
  const Tokenizer tokenizer = ktx::test::tiny_v3();
  const auto ids = tokenizer.encode("<｜User｜>Hi<｜end▁of▁sentence｜>");
  const auto joined = [&](DetokenizerOptions options) {
    Detokenizer detokenizer(tokenizer, options);
    std::string out;
    for (const int32_t id : ids) out += detokenizer.push(id);
    return out + detokenizer.finish();
  };
  CHECK(joined({}) == "Hi");
  CHECK(joined({.print_special = true}) == "<｜User｜>Hi<｜end▁of▁sentence｜>");
}

TEST_CASE("a special token within a character, and ids that no token has") {
  const Tokenizer tokenizer = ktx::test::tiny_v3();
  const auto ids = tokenizer.encode("😀");
  REQUIRE(ids.size() > 1);
  Detokenizer detokenizer(tokenizer);
  CHECK(detokenizer.push(ids[0]).empty());
  CHECK(detokenizer.push(*tokenizer.eos()) == bad);
  CHECK(detokenizer.finish().empty());
  CHECK(detokenizer.push(-1).empty());
  CHECK(detokenizer.push(tokenizer.vocab_size()).empty());
}
