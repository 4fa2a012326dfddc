// Finding added tokens and their flags.
#include "text/added_tokens.hpp"

#include "catch.hpp"

using ktx::text::AddedToken;
using ktx::text::AddedTokens;

namespace {

// "begin-end:id" of each match.
std::string found(const AddedTokens& tokens, std::string_view text, bool special = true) {
  std::vector<AddedTokens::Match> matches;
  tokens.find(text, special, matches);
  std::string out;
  for (const auto& m : matches)
    out += std::to_string(m.begin) + "-" + std::to_string(m.end) + ":" + std::to_string(m.id) + " ";
  return out;
}

}  // namespace

TEST_CASE("the leftmost and longest token is found") {
  const AddedTokens tokens({{.id = 1, .content = "<x"},
                            {.id = 2, .content = "<xy>"},
                            {.id = 3, .content = "y>z"},
                            {.id = 4, .content = "é"}});
  CHECK(found(tokens, "<xy>z") == "0-4:2 ");
  CHECK(found(tokens, "a<xy<x") == "1-3:1 4-6:1 ");
  CHECK(found(tokens, "<<x é") == "1-3:1 4-6:4 ");
  CHECK(found(tokens, "none") == "");
  CHECK(found(tokens, "") == "");
  CHECK(found(AddedTokens(), "<x") == "");
}

TEST_CASE("special tokens are passed over on request, for a shorter one that isn't") {
  const AddedTokens tokens(
      {{.id = 1, .content = "<a"}, {.id = 2, .content = "<a>", .special = true}});
  CHECK(found(tokens, "<a>", true) == "0-3:2 ");
  CHECK(found(tokens, "<a>", false) == "0-2:1 ");
}

TEST_CASE("single words have no word characters beside them") {
  const AddedTokens tokens({{.id = 1, .content = "the", .single_word = true}});
  CHECK(found(tokens, "the") == "0-3:1 ");
  CHECK(found(tokens, "-the.") == "1-4:1 ");
  CHECK(found(tokens, "then the athe éthe theé the_") == "5-8:1 ");
  CHECK(found(tokens, "\xFFthe\xFF") == "1-4:1 ");
}

TEST_CASE("a word that is no single word is passed over whole, tokens within it too") {
  const AddedTokens tokens(
      {{.id = 1, .content = "ab", .single_word = true}, {.id = 2, .content = "b"}});
  CHECK(found(tokens, "xab") == "");
  CHECK(found(tokens, "xabb") == "3-4:2 ");
  CHECK(found(tokens, "-ab xb") == "1-3:1 5-6:2 ");
}

TEST_CASE("tokens that are parts of others, and of themselves") {
  const AddedTokens tokens({{.id = 1, .content = "a"},
                            {.id = 2, .content = "abab"},
                            {.id = 3, .content = "babac"},
                            {.id = 4, .content = "bab", .special = true},
                            {.id = 5, .content = "ac"}});
  CHECK(found(tokens, "ababac") == "0-4:2 4-6:5 ");
  CHECK(found(tokens, "babac") == "0-5:3 ");
  CHECK(found(tokens, "bababac") == "0-3:4 3-4:1 5-7:5 ");
  CHECK(found(tokens, "babab", false) == "1-5:2 ");
  CHECK(found(tokens, "cbabc") == "1-4:4 ");
}

// Quadratic, this would take minutes.
TEST_CASE("a long token that begins everywhere and ends nowhere takes linear time") {
  const std::string text(20'000'000, 'a');
  const std::string half = text.substr(10'000'000);
  CHECK(found(AddedTokens({{.id = 1, .content = half + "b"}}), text) == "");
  CHECK(found(AddedTokens({{.id = 1, .content = "b" + half}}), text) == "");
  CHECK(found(AddedTokens({{.id = 1, .content = half + "b"}, {.id = 2, .content = half}}), text) ==
        "0-10000000:2 10000000-20000000:2 ");
}

TEST_CASE("white space is taken along, but none that a match before has taken") {
  const AddedTokens left({{.id = 1, .content = "<l>", .lstrip = true}});
  CHECK(found(left, "a \u3000\n<l> b") == "1-9:1 ");
  const AddedTokens both({{.id = 1, .content = "<b>", .lstrip = true, .rstrip = true}});
  CHECK(found(both, " <b>  <b> ") == "0-6:1 6-10:1 ");
}
