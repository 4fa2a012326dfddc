// The steps of a pre-tokenizer and their errors.
// covers: metaspace
#include "text/pretokenizer.hpp"

#include "catch.hpp"
#include "core/base/failure.hpp"

using ktx::Json;
using ktx::test::failure;
using ktx::text::PreTokenizer;
using ktx::text::Span;

namespace {

using Pieces = std::vector<std::string>;

Pieces pieces_of(const PreTokenizer& pre, std::string_view text) {
  std::string buffer;
  std::vector<Span> spans;
  auto budget = ktx::text::StepBudget::for_text(text.size());
  const auto cut = pre.split(text, buffer, spans, budget);
  Pieces pieces;
  for (const auto& [begin, end] : spans) pieces.emplace_back(cut.substr(begin, end - begin));
  return pieces;
}

Json byte_level(bool use_regex = false, bool prefix_space = false) {
  return {{"type", "ByteLevel"}, {"add_prefix_space", prefix_space}, {"use_regex", use_regex}};
}

Json split(const char* kind, const char* pattern, const char* behavior, bool invert = false) {
  Json step{{"type", "Split"}, {"behavior", behavior}, {"invert", invert}};
  step["pattern"] = {{kind, pattern}};
  return step;
}

PreTokenizer with(const Json& step) {
  Json sequence{{"type", "Sequence"}};
  sequence["pretokenizers"] = Json::array({step, byte_level()});
  return PreTokenizer::from_json(sequence, "t.json");
}

}  // namespace

// Expected values of this test: the example of the tokenizers library's documentation, and what its
// version 0.23 gives for inversions.
TEST_CASE("each behavior of a split") {
  const char* text = "the-final--countdown";
  const auto cut = [&](const char* behavior, bool invert = false) {
    return pieces_of(with(split("String", "-", behavior, invert)), text);
  };
  CHECK(cut("Removed") == Pieces{"the", "final", "countdown"});
  CHECK(cut("Isolated") == Pieces{"the", "-", "final", "-", "-", "countdown"});
  CHECK(cut("MergedWithPrevious") == Pieces{"the-", "final-", "-", "countdown"});
  CHECK(cut("MergedWithNext") == Pieces{"the", "-final", "-", "-countdown"});
  CHECK(cut("Contiguous") == Pieces{"the", "-", "final", "--", "countdown"});
  CHECK(cut("Removed", true) == Pieces{"-", "-", "-"});
  CHECK(cut("Isolated", true) == cut("Isolated"));
}

TEST_CASE("a pattern that is a string is taken literally") {
  CHECK(pieces_of(with(split("String", ".", "Isolated")), "a.b") == Pieces{"a", ".", "b"});
}

TEST_CASE("a regex is Oniguruma's: lines, white space") {
  CHECK(pieces_of(with(split("Regex", "^[a-z]", "Isolated")), "ab\ncd") ==
        Pieces{"a", "b\n", "c", "d"});
  CHECK(pieces_of(with(split("Regex", "\\s+$", "Isolated")), "a  b  \nc \n \n") ==
        Pieces{"a  b", "  ", "\nc", " \n \n"});
}

TEST_CASE("digits one by one or together") {
  CHECK(pieces_of(with({{"type", "Digits"}, {"individual_digits", true}}), "a12½b") ==
        Pieces{"a", "1", "2", "½", "b"});
  CHECK(pieces_of(with({{"type", "Digits"}, {"individual_digits", false}}), "a12½b") ==
        Pieces{"a", "12½", "b"});
}

TEST_CASE("ByteLevel's own pattern and its space before pieces") {
  CHECK(pieces_of(PreTokenizer::from_json(byte_level(true), ""), "I'm  here 42!") ==
        Pieces{"I", "'m", " ", " here", " 42", "!"});
  CHECK(pieces_of(PreTokenizer::from_json(byte_level(true, true), ""), "Hi you") ==
        Pieces{" Hi", " you"});
  CHECK(pieces_of(PreTokenizer::from_json(byte_level(true, true), ""), " Hi") == Pieces{" Hi"});
}

TEST_CASE("empty text has no pieces; an empty match still cuts") {
  CHECK(pieces_of(with(split("Regex", "x*", "Isolated")), "").empty());
  CHECK(pieces_of(with(split("Regex", "x*", "Isolated")), "axxb") == Pieces{"a", "xx", "b"});
}

TEST_CASE("bytes that are not UTF-8 are pieces of their own") {
  CHECK(pieces_of(PreTokenizer::from_json(byte_level(true), ""), "a\xFF\xC3 b\xE4\xB8") ==
        Pieces{"a", "\xFF\xC3", " b", "\xE4\xB8"});
}

TEST_CASE("Metaspace marks spaces, puts one before a text, and cuts at marks") {
  const auto cut = [](const char* scheme, bool split, std::string_view text, bool begins = true) {
    std::string buffer;
    std::vector<Span> spans;
    auto budget = ktx::text::StepBudget::for_text(text.size());
    const auto pre = PreTokenizer::from_json(
        {{"type", "Metaspace"}, {"replacement", "_"}, {"prepend_scheme", scheme}, {"split", split}},
        "t.json");
    const auto marked = pre.split(text, buffer, spans, budget, begins);
    Pieces pieces;
    for (const auto& [begin, end] : spans) pieces.emplace_back(marked.substr(begin, end - begin));
    return pieces;
  };
  CHECK(cut("always", true, "a  b") == Pieces{"_a", "_", "_b"});
  CHECK(cut("always", false, "a  b") == Pieces{"_a__b"});
  CHECK(cut("never", true, "a b") == Pieces{"a", "_b"});
  CHECK(cut("always", true, " a", false) == Pieces{"_a"});
  CHECK(cut("first", true, "a b") == Pieces{"_a", "_b"});
  CHECK(cut("first", true, "a b", false) == Pieces{"a", "_b"});
  const auto prepends = [](const Json& step) {
    return PreTokenizer::from_json(step, "t.json").prepends();
  };
  CHECK(prepends({{"type", "Metaspace"}, {"replacement", "_"}}));
  CHECK_FALSE(prepends({{"type", "Metaspace"}, {"replacement", "_"}, {"add_prefix_space", false}}));
  CHECK_FALSE(prepends(byte_level()));
}

TEST_CASE("steps that are patterns with a name") {
  const auto cut = [](const Json& step, const char* text) {
    return pieces_of(PreTokenizer::from_json(step, "t.json"), text);
  };
  CHECK(cut({{"type", "Whitespace"}}, "it's  a_b\n1.") == Pieces{"it", "'", "s", "a_b", "1", "."});
  CHECK(cut({{"type", "WhitespaceSplit"}}, "it's\u3000 a.") == Pieces{"it's", "a."});
  CHECK(cut({{"type", "Punctuation"}}, "a.. «b»") == Pieces{"a", ".", ".", " ", "«", "b", "»"});
  CHECK(cut({{"type", "Punctuation"}, {"behavior", "Contiguous"}}, "a..b") ==
        Pieces{"a", "..", "b"});
  CHECK(cut({{"type", "CharDelimiterSplit"}, {"delimiter", "|"}}, "a|b") == Pieces{"a", "b"});
  CHECK(cut({{"type", "BertPreTokenizer"}}, "it's a") == Pieces{"it", "'", "s", "a"});
}

TEST_CASE("steps behind ByteLevel see the byte alphabet") {
  Json sequence{{"type", "Sequence"}};
  sequence["pretokenizers"] = Json::array({byte_level(true), {{"type", "Digits"}}});
  const auto pre = PreTokenizer::from_json(sequence, "t.json");
  CHECK_FALSE(pre.byte_level());
  CHECK(pieces_of(pre, "a 12") == Pieces{"a", "Ġ", "12"});
  CHECK(pieces_of(pre, "ó") == Pieces{"Ã", "³"});  // its second byte is written as a number
}

TEST_CASE("no pre-tokenizer cuts nothing") {
  CHECK(pieces_of(PreTokenizer::from_json(nullptr, "t.json"), "a b") == Pieces{"a b"});
}

TEST_CASE("steps that are not supported are named") {
  REQUIRE(failure([] {
            PreTokenizer::from_json({{"type", "UnicodeScripts"}}, "t.json");
          }) ==
          "input t.json: pre_tokenizer of type 'UnicodeScripts' is not supported\n"
          "  note: valid types: Sequence, Split, ByteLevel, Metaspace, Digits, Whitespace, "
          "WhitespaceSplit, Punctuation, CharDelimiterSplit, BertPreTokenizer");
  REQUIRE(failure([] { with(split("String", "-", "Isolate")); }) ==
          "input t.json: pre_tokenizer Split: unknown behavior 'Isolate'\n"
          "  note: did you mean 'Isolated'?\n"
          "  note: valid behaviors: Removed, Isolated, MergedWithPrevious, MergedWithNext, "
          "Contiguous");
  REQUIRE(failure([] {
            PreTokenizer::from_json({{"type", "Metaspace"}, {"replacement", "__"}}, "t.json");
          }) == "input t.json: Metaspace: 'replacement' is '__', expected one character");
  REQUIRE(failure([] {
            PreTokenizer::from_json(
                {{"type", "Metaspace"}, {"replacement", "_"}, {"prepend_scheme", "last"}},
                "t.json");
          }) ==
          "input t.json: Metaspace: unknown prepend_scheme 'last'\n"
          "  note: valid: always, first, never");
  REQUIRE(failure([] { with(split("Regex", "(", "Isolated")); }) ==
          "input t.json: regular expression '(' does not compile: missing closing parenthesis at "
          "offset 1");
}

TEST_CASE("the steps share one budget") {
  const std::string text(100'000, 'a');
  Json sequence{{"type", "Sequence"}, {"pretokenizers", Json::array()}};
  for (int i = 0; i < 200; ++i)
    sequence["pretokenizers"].push_back(split("Regex", "b", "Isolated"));
  sequence["pretokenizers"].push_back(byte_level());
  const auto pre = PreTokenizer::from_json(sequence, "t.json");
  CHECK(pieces_of(pre, "abc") == Pieces{"a", "b", "c"});
  REQUIRE(failure([&] { pieces_of(pre, text); }) ==
          "input cutting the text into pieces takes more than 11000000 steps");
  CHECK(failure([&] { pieces_of(with(split("Regex", "a*+[bc]", "Isolated")), text); })
            .starts_with(
                "input t.json: regular expression 'a*+[bc]' takes too many steps on a text of "
                "100000 bytes"));
}

TEST_CASE("malformed steps are input errors") {
  for (const char* text :
       {"1", "[]", "{}", R"({"type":1})", R"({"type":"Sequence"})",
        R"({"type":"Sequence","pretokenizers":1})", R"({"type":"Split"})",
        R"({"type":"Split","pattern":{},"behavior":"Isolated"})",
        R"({"type":"Split","pattern":{"Regex":1},"behavior":"Isolated"})",
        R"({"type":"Split","pattern":{"Regex":"a"}})", R"({"type":"Digits","individual_digits":1})",
        R"({"type":"ByteLevel","use_regex":"x"})", R"({"type":"Metaspace"})",
        R"({"type":"Metaspace","replacement":1})", R"({"type":"CharDelimiterSplit"})"}) {
    INFO(text);
    const Json step = ktx::base::parse_json(text, "x");
    CHECK(failure([&] { PreTokenizer::from_json(step, "t.json"); }).starts_with("input t.json"));
  }
}
