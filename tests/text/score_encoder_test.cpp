// Merging by scores; the alphabets of both kinds of encoders.
// covers: alphabet
#include "catch.hpp"
#include "core/base/failure.hpp"
#include "text/piece_encoder.hpp"

using ktx::test::failure;
using ktx::text::AlphabetKind;
using ktx::text::Vocabulary;

namespace {

using Ids = std::vector<int32_t>;

struct Token {
  std::string text;
  float score = 0;
};

struct Made {
  std::vector<Token> tokens;
  AlphabetKind kind = {};
  std::vector<int32_t> split = {}, special = {};
  bool whole_pieces = false;

  Ids operator()(std::string_view piece) const {
    Vocabulary vocabulary;
    ktx::text::MergeScores scores;
    for (const auto& [text, score] : tokens) {
      vocabulary.tokens.emplace_back(text);
      scores.scores.push_back(score);
    }
    vocabulary.special.resize(tokens.size());
    for (const int32_t id : special) vocabulary.special[static_cast<size_t>(id)] = 1;
    scores.split = split;
    scores.whole_pieces = whole_pieces;
    Ids ids{-1};  // is replaced
    encode_by_scores(vocabulary, kind, scores)->encode(piece, ids);
    return ids;
  }
};

}  // namespace

TEST_CASE("the highest score is merged first, of equal ones the leftmost") {
  const Made made{{{"a"}, {"b"}, {"c"}, {"ab", -2}, {"bc", -1}, {"abc", -3}, {"aa", -1}}};
  CHECK(made("abc") == Ids{5});
  CHECK(made("abcb") == Ids{5, 1});
  CHECK(made("bcab") == Ids{4, 3});
  CHECK(made("aaa") == Ids{6, 0});
  CHECK(made("").empty());
  const Made other{{{"a"}, {"b"}, {"c"}, {"ab", -1}, {"bc", -2}}};
  CHECK(other("abc") == Ids{3, 2});
}

TEST_CASE("a token may be made of characters that are none") {
  const Made made{{{"<unk>"}, {"éa"}}, {.unknown = 0, .fuse_unknown = true}};
  CHECK(made("éa") == Ids{1});
  CHECK(made("ééaé") == Ids{0, 1, 0});
  CHECK(made("xyéa") == Ids{0, 1});
}

TEST_CASE("tokens that only lead to others are split again") {
  const Made made{{{"a"}, {"b"}, {"c"}, {"ab", -1}, {"abc", -2}}, {}, {3}};
  CHECK(made("abc") == Ids{4});
  CHECK(made("ab") == Ids{0, 1});
  CHECK(made("aba") == Ids{0, 1, 0});
}

TEST_CASE("text does not become special tokens") {
  const Made made{{{"a"}, {"b"}, {"ab"}}, {}, {}, {2}, true};
  CHECK(made("ab") == Ids{0, 1});
}

TEST_CASE("whole pieces, where they come first") {
  Made made{{{"a"}, {"b"}, {"c"}, {"abc"}}};
  CHECK(made("abc") == Ids{0, 1, 2});
  made.whole_pieces = true;
  CHECK(made("abc") == Ids{3});
}

TEST_CASE("bytes in their alphabet, and bytes of characters that have no token") {
  CHECK(Made{{{"Ã"}, {"©"}, {"Ġ"}, {"Ã©"}}, {.byte_level = true}}("é é") == Ids{3, 2, 3});
  const Made fallback{{{"a"}, {"<0xC3>"}, {"<0xA9>"}}, {.byte_fallback = true}};
  CHECK(fallback("aéa") == Ids{0, 1, 2, 0});
  CHECK(fallback("\xC3") == Ids{1});
  REQUIRE(failure([&] { fallback("è"); }) ==
          "input the text has the character 'è', which the vocabulary has no token for");
  REQUIRE(failure([&] { fallback("\xA8"); }) ==
          "input the text has the byte 168, which the vocabulary has no token for");
}

// What is not bounded by the longest token would be quadratic and take minutes.
TEST_CASE("a piece of a million characters takes no quadratic time") {
  Made made{{{"a"}}};
  for (size_t size = 2; size <= 1024; size *= 2)
    made.tokens.push_back({std::string(size, 'a'), -static_cast<float>(size)});
  CHECK(made(std::string(1 << 20, 'a')) == Ids(1024, 10));
}
