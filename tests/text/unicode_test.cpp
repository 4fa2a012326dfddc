// UTF-8 steps, normalization, properties.
#include "text/unicode.hpp"

#include "catch.hpp"

using namespace ktx::text;

TEST_CASE("every codepoint goes to UTF-8 and back") {
  size_t wrong = 0;
  for (char32_t c = 0; c <= 0x10FFFF; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    std::string text;
    append_utf8(text, c);
    const auto step = utf8_step(text);
    wrong += step.kind != Utf8Step::valid || step.size != text.size() || step.codepoint != c;
  }
  CHECK(wrong == 0);
}

TEST_CASE("invalid UTF-8 steps as the Unicode standard advises") {
  struct Case {
    std::string text;
    Utf8Step::Kind kind;
    size_t size;
  };
  for (const Case& c : {
           Case{"\x80", Utf8Step::invalid, 1},              // a continuation alone
           Case{"\xC0\xAF", Utf8Step::invalid, 1},          // overlong
           Case{"\xE0\x80\x80", Utf8Step::invalid, 1},      // overlong
           Case{"\xED\xA0\x80", Utf8Step::invalid, 1},      // a surrogate
           Case{"\xF4\x90\x80\x80", Utf8Step::invalid, 1},  // beyond U+10FFFF
           Case{"\xF5\x80", Utf8Step::invalid, 1},
           Case{"\xE4\xB8z", Utf8Step::invalid, 2},  // two good bytes, one U+FFFD
           Case{"\xF0\x9F\x98z", Utf8Step::invalid, 3},
           Case{"\xE4\xB8", Utf8Step::truncated, 2},
           Case{"\xF0", Utf8Step::truncated, 1},
           Case{"\xC3", Utf8Step::truncated, 1},
       }) {
    INFO(c.text.size() << " bytes from " << int(static_cast<unsigned char>(c.text[0])));
    CHECK(utf8_step(c.text).kind == c.kind);
    CHECK(utf8_step(c.text).size == c.size);
  }
}

TEST_CASE("prefixes are split between valid and invalid") {
  CHECK(valid_prefix("aé中😀\xFFz") == 10);
  CHECK(valid_prefix("") == 0);
  CHECK(valid_prefix("ab\xC3") == 2);
  CHECK(invalid_prefix("\xFF\xC3\xE4\xB8z") == 4);
  CHECK(invalid_prefix("\xE4\xB8") == 2);
  CHECK(invalid_prefix("z") == 0);
}

TEST_CASE("normalization forms") {
  CHECK(normalize("e\u0301 \u212B \u1f7d", Normalization::nfc) == "\u00e9 \u00c5 \u03ce");
  CHECK(normalize("\u00e9", Normalization::nfd) == "e\u0301");
  CHECK(normalize("ﬁ ½ Ａ", Normalization::nfkc) == "fi 1\u20442 A");
  CHECK(normalize("é", Normalization::nfkd) == "e\u0301");
  CHECK(normalize("한", Normalization::nfd) == "\u1112\u1161\u11ab");
  CHECK(normalize("plain", Normalization::nfc) == "plain");
  CHECK(normalize("", Normalization::nfc).empty());
}

TEST_CASE("marks come in canonical order, those of one class as they stood") {
  const std::string text = "a\u0315\u0300\u05ae\u0062";
  CHECK(normalize(text, Normalization::nfc) == "\u00e0\u05ae\u0315b");
  CHECK(normalize(text, Normalization::nfd) == "a\u05ae\u0300\u0315b");
  CHECK(normalize("a\u0301\u0300\u0316", Normalization::nfd) == "a\u0316\u0301\u0300");
  CHECK(normalize("\u0301\u0316", Normalization::nfc) == "\u0316\u0301");
  CHECK(normalize("\u1e69\u0323", Normalization::nfd) == "s\u0323\u0323\u0307");
  CHECK(normalize("q\u0307\u0323 q\u0307\u0323", Normalization::nfc) ==
        "q\u0323\u0307 q\u0323\u0307");
}

TEST_CASE("a run of a million marks is put in order") {
  // A quadratic sort would take 10^11 exchanges and ctest's time limit end it.
  constexpr size_t pairs = 500'000;
  std::string text = "a", below, above;
  for (size_t i = 0; i < pairs; ++i) text += "\u0301\u0316";
  for (size_t i = 0; i < pairs; ++i) below += "\u0316";
  for (size_t i = 0; i < pairs; ++i) above += "\u0301";
  CHECK((normalize(text, Normalization::nfd) == "a" + below + above));
  CHECK((normalize(text, Normalization::nfc) == "\u00e1" + below + above.substr(2)));
}

TEST_CASE("normalization leaves invalid bytes and zero bytes as they are") {
  const std::string text = std::string("e\u0301\xFF\0e\u0301\xE4", 9);
  CHECK(normalize(text, Normalization::nfc) == std::string("\u00e9\xFF\0\u00e9\xE4", 7));
}

TEST_CASE("properties of characters") {
  for (const char32_t c : U" \t\n\r\v\f\u0085\u00a0\u1680\u2003\u2028\u2029\u202f\u205f\u3000")
    if (c != 0) CHECK(is_space(c));
  for (const char32_t c : {U'a', U'\u200b', U'\u180e', U'\ufeff'}) CHECK_FALSE(is_space(c));
  for (const char32_t c : {U'7', U'½', U'²', U'Ⅻ', U'٣'}) CHECK(is_numeric(c));
  for (const char32_t c : {U'a', U'一', U'.'}) CHECK_FALSE(is_numeric(c));
  for (const char32_t c : {U'a', U'é', U'中', U'_', U'9', U'\u0301', U'\u200d'}) CHECK(is_word(c));
  for (const char32_t c : {U' ', U'-', U'½', U'$'}) CHECK_FALSE(is_word(c));
}
