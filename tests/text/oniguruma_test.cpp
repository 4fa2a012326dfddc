// What is translated from Oniguruma's dialect, by text and by meaning.
#include "text/oniguruma.hpp"

#include "catch.hpp"
#include "core/base/failure.hpp"
#include "text/regex.hpp"

using ktx::test::failure;
using ktx::text::from_oniguruma;
using ktx::text::Regex;

namespace {
bool matches_whole(const std::string& pattern, std::string_view text) {
  return Regex("^(?:" + from_oniguruma(pattern, "t.json") + ")$").search(text);
}
}  // namespace

TEST_CASE("what both dialects share stays as it is") {
  for (const char* pattern :
       {"[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+", "(?i:'s|'t)|\\p{N}{1,3}", "a++|b?+|c*?",
        "(?=x)(?!y)(?<=z)(?<!w)(?>v)", "[一-龥぀-ゟ]+", "[]a]", "[^]a]", "[[:alpha:]_]",
        "\\[\\{a{b}", "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+", "x{2,3}?",
        "\\x{1F600}", "a|"}) {
    INFO(pattern);
    CHECK(from_oniguruma(pattern, "") == pattern);
  }
}

TEST_CASE("sets of characters that differ are spelled out") {
  CHECK(matches_whole("\\s", "\u3000"));
  CHECK_FALSE(matches_whole("\\s", "\u180e"));
  CHECK(matches_whole("\\S", "\u180e"));
  CHECK(matches_whole("[^\\s\\p{L}]", "\u180e"));
  CHECK(matches_whole("\\w+", "a\u0301"));
  CHECK_FALSE(matches_whole("\\w", "½"));
  CHECK(matches_whole("\\W", "½"));
  CHECK(matches_whole("\\h+\\H", "0aFg"));
  CHECK(matches_whole("[\\h-]+", "a-9"));
  CHECK(matches_whole("\\u0041\\u4e2d", "A中"));
}

TEST_CASE("a plus after a counted repeat repeats it again") {
  CHECK(from_oniguruma("a\\p{N}{1,3}+b", "") == "a(?:\\p{N}{1,3})+b");
  CHECK(from_oniguruma("(a|b){2}+", "") == "(?:(a|b){2})+");
  CHECK(from_oniguruma("[ab]{2}?", "") == "(?:[ab]{2})?");
  CHECK(from_oniguruma("é{2}+", "") == "(?:é{2})+");
  CHECK(from_oniguruma("a{,3}", "") == "a{0,3}");
  CHECK(from_oniguruma("a{,}b{x}c{", "") == "a{,}b{x}c{");
  CHECK(matches_whole("\\p{N}{1,3}+", "1234567"));
}

TEST_CASE("counts of repeats are bounded") {
  CHECK(from_oniguruma("a{64}b{0,64}c{64,}", "") == "a{64}b{0,64}c{64,}");
  REQUIRE(
      failure([] { from_oniguruma("a{65}", "t.json"); }) ==
      "input t.json: regular expression 'a{65}': a count above 64 at offset 1 is not supported");
  for (const char* pattern : {"a{1,65}", "a{65,}", "a{100}", "a{99999999999999999999}"})
    CHECK(failure([&] { from_oniguruma(pattern, ""); }).find("a count above 64") !=
          std::string::npos);
}

TEST_CASE("intersections of sets become lookaheads") {
  CHECK(from_oniguruma("[\\p{Lu}\\p{M}&&[^\\p{Han}]]+", "") ==
        "(?:(?![\\p{sc:Han}])[\\p{Lu}\\p{M}])+");
  CHECK(from_oniguruma("[a-z&&[aeiou]]{2}+", "") == "(?:(?:(?=[aeiou])[a-z]){2})+");
  CHECK(matches_whole("[a-z&&[^aeiou]]+", "xyz"));
  CHECK_FALSE(matches_whole("[a-z&&[^aeiou]]+", "xaz"));
}

TEST_CASE("a script is the script alone") {
  CHECK(from_oniguruma("\\p{Han}\\P{Thai}[\\p{^Han}\\p{L}]\\p{Lu}", "") ==
        "\\p{sc:Han}\\P{sc:Thai}[\\p{^sc:Han}\\p{L}]\\p{Lu}");
  CHECK(matches_whole("\\p{Han}+", "漢字"));
  CHECK_FALSE(matches_whole("\\p{Han}", "。"));
  CHECK(matches_whole("\\p{^Han}", "。"));
}

TEST_CASE("Ruby's option m is PCRE2's s") {
  CHECK(from_oniguruma("(?m:.)(?i)(?mi-x:a)(?:m)", "") == "(?s:.)(?i)(?si-x:a)(?:m)");
  CHECK(matches_whole("a(?m:.)b", "a\nb"));
}

TEST_CASE("comments are left out") {
  CHECK(from_oniguruma("a(?#it's [a] {2}+ comment)b", "") == "ab");
  CHECK(from_oniguruma("a(?#one \\) still)+(?#)", "") == "a+");
  CHECK(from_oniguruma("\\p{N}{1,3}(?#x)(?#y)+", "") == "(?:\\p{N}{1,3})+");
  CHECK(matches_whole("(a(?#()b)+", "abab"));
  for (const char* pattern : {"a(?#b", "a(?#b\\)", "(?#\\"}) {
    INFO(pattern);
    CHECK(failure([&] { from_oniguruma(pattern, "t.json"); }).find("a comment without an end") !=
          std::string::npos);
  }
}

TEST_CASE("other operations on sets are errors") {
  REQUIRE(
      failure([] { from_oniguruma("a[b[cd]]", "t.json"); }) ==
      "input t.json: regular expression 'a[b[cd]]': a set inside a set, other than [A&&[B]] and "
      "[A&&[^B]], at offset 3 is not supported");
  for (const char* pattern : {"[^a&&[b]]", "[a&&b]", "[a&&[b]c]", "[a&&[b]&&[c]]", "[a", "[a&&[b]",
                              "[[:alpha]", "\\uXYZW12", "[\\H]"}) {
    INFO(pattern);
    CHECK(failure([&] { from_oniguruma(pattern, "t.json"); }).find("is not supported") !=
          std::string::npos);
  }
  CHECK(failure([] {
          from_oniguruma(std::string(70000, 'a'), "t.json");
        }).find("more than 65536 bytes") != std::string::npos);
}
