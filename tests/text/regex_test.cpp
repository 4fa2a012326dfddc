// Matching, offsets, errors, limits on hostile patterns.
#include "text/regex.hpp"

#include <array>
#include <thread>

#include "catch.hpp"
#include "core/base/failure.hpp"

using ktx::test::failure;
using ktx::text::Regex;
using ktx::text::Span;
using ktx::text::StepBudget;

namespace {

std::vector<Span> all(const Regex& regex, std::string_view text) {
  std::vector<Span> found;
  StepBudget budget = StepBudget::for_text(text.size());
  Regex::Matcher(regex, budget).find_all(text, found);
  return found;
}

// The steps of finding all matches of the pattern in a text; 0: more than the budget.
uint64_t steps(const std::string& pattern, const std::string& text) {
  StepBudget budget = StepBudget::for_text(text.size());
  std::vector<Span> found;
  const auto message =
      failure([&] { Regex::Matcher(Regex(pattern), budget).find_all(text, found); });
  if (message == "nothing thrown") return budget.spent();
  CHECK(message.find(budget.excess()) != std::string::npos);
  return 0;
}

}  // namespace

TEST_CASE("a pattern is searched anywhere in the text") {
  const Regex regex("layers\\.[0-9]+\\.mlp");
  CHECK(regex.search("model.layers.12.mlp.experts"));
  CHECK_FALSE(regex.search("model.layers.mlp"));
  CHECK_FALSE(regex.search(""));
  CHECK(Regex("").search(""));
  CHECK(regex.pattern() == "layers\\.[0-9]+\\.mlp");
}

TEST_CASE("find gives byte offsets from a start on, and sees what is before it") {
  const Regex regex("(?<=é)b+");
  const std::string text = "ébb éb";
  CHECK(regex.find(text) == Span{2, 4});
  CHECK(regex.find(text, 2) == Span{2, 4});
  CHECK(regex.find(text, 3) == Span{7, 8});
  CHECK(regex.find(text, 6) == Span{7, 8});  // within the second é
  CHECK_FALSE(regex.find(text, 8));
  CHECK_FALSE(regex.find(text, 100));
}

TEST_CASE("find_all gives matches that don't overlap, empty ones never right after a match") {
  CHECK(all(Regex("a+"), "aabca") == std::vector<Span>{{0, 2}, {4, 5}});
  CHECK(all(Regex("x*"), "axé") == std::vector<Span>{{0, 0}, {1, 2}, {4, 4}});
  CHECK(all(Regex("x"), "").empty());
}

TEST_CASE("patterns know Unicode, and lines when asked") {
  CHECK(Regex("^\\p{L}+$").search("naïveдом"));
  CHECK(Regex("^\\w+$").search("é٣"));
  CHECK(Regex("(?i:'S)").search("'ſ"));
  CHECK_FALSE(Regex("^b").search("a\nb"));
  CHECK(Regex("^b$", "", {.multiline = true}).search("a\nb\nc"));
}

TEST_CASE("bytes that are not UTF-8 match nothing and bound the text") {
  const std::string text =
      "ab\xFF\xFE"
      "cd\xC3";
  CHECK(all(Regex("."), text) == std::vector<Span>{{0, 1}, {1, 2}, {4, 5}, {5, 6}});
  CHECK(Regex("b$").find(text) == Span{1, 2});
  CHECK(Regex("^c").find(text) == Span{4, 5});
  CHECK(Regex("d").find(text, 3) == Span{5, 6});
  CHECK_FALSE(Regex("x").search("\xF0\x9F\x98"));
  CHECK(Regex("^$").search("\xFF"));
}

TEST_CASE("a pattern that does not compile is an input error with the offset") {
  REQUIRE(failure([] { Regex("a(b", "rules.yaml:7:12"); }) ==
          "input rules.yaml:7:12: regular expression 'a(b' does not compile: missing closing "
          "parenthesis at offset 3");
  REQUIRE(failure([] { Regex("[z-a]"); }) ==
          "input regular expression '[z-a]' does not compile: range out of order in character "
          "class at offset 3");
  CHECK(failure([] { Regex(std::string(70000, 'a')); }).find("does not compile") !=
        std::string::npos);
  CHECK(failure([] { Regex(std::string(2000, '(')); }).find("does not compile") !=
        std::string::npos);
  CHECK(failure([] { Regex("\xFF"); }).find("does not compile") != std::string::npos);
  CHECK(failure([] { Regex("\\C"); }).find("does not compile") != std::string::npos);
}

TEST_CASE("hostile patterns end with an error") {
  const std::string text(40, 'a');
  for (const char* pattern : {"(a+)+$|b", "(a|aa)+b", "(a*)*b", "(?:a?){40}a{40}b",
                              "(.*)(.*)(.*)(.*)(.*)(.*)(.*)(.*)(.*)b"}) {
    INFO(pattern);
    const auto message = failure([&] { Regex(pattern, "rules.yaml:1:1").search(text + "!"); });
    CHECK(
        (message == "nothing thrown" || message.find("takes too many steps") != std::string::npos));
  }
  REQUIRE(failure([&] { Regex("^(a+)+$", "rules.yaml:3:9").search(text + "!"); }) ==
          "input rules.yaml:3:9: regular expression '^(a+)+$' takes too many steps on a text of 41 "
          "bytes: the call takes more than 20000000 steps\n  note: nested repeats such as (a+)+ "
          "are the usual cause");
  // Recursion without end, and deep recursion.
  CHECK(failure([] {
          Regex("(?R)?a(?R)?").search(std::string(5000, 'b'));
        }).find("nested recursion") != std::string::npos);
  const auto deep = failure([] { Regex("^(\\((?1)*\\))*$").search(std::string(3'000'000, '(')); });
  CHECK((deep == "nothing thrown" || deep.find("takes too many steps") != std::string::npos));
}

TEST_CASE("steps are the items that are tried and the characters passed over") {
  for (const size_t n : {1000u, 100'000u}) {
    const std::string text(n, 'a');
    CHECK(steps("a+", text) >= n);
    CHECK(steps("a+", text) <= n + 10);
    CHECK(steps("a", text) >= 2 * n);
    CHECK(steps("a", text) <= 4 * n);
    CHECK(steps("b*+[cd]", std::string(n, 'b') + "c") <= n + 10);
  }
  // A long set of characters is searched one after the other.
  std::string set = "[";
  for (int i = 0; i < 600; ++i) set += "\\x{" + std::to_string(1000 + 2 * i) + "}";
  const std::string text(3000, 'a');
  CHECK(steps("[^b]+", text) < 3100);
  CHECK(steps("[^" + set.substr(1) + "]+", text) > 10 * 3000);
}

TEST_CASE("what is quadratic in the text is beyond its budget, whatever PCRE2's limits count") {
  const std::string text(100'000, 'a');
  CHECK(steps("a*+[bc]", text) == 0);            // a step for PCRE2, n characters, n times
  CHECK(steps("(?:(?!a*+[bc])a)+", text) == 0);  // in one match
  CHECK(steps("a+[bc]", text) == 0);
  CHECK(steps("(a+)\\1[bc]", text) == 0);
  CHECK(steps("\\X{50}b", text) == 0);
  CHECK(steps("(a+)+[bc]", text.substr(0, 40)) == 0);
  CHECK(steps("a++", text) > 0);
}

TEST_CASE("a budget is that of all texts together") {
  StepBudget budget(1000);
  const Regex regex("a", "t.json");
  Regex::Matcher matcher(regex, budget);
  std::vector<Span> found;
  matcher.find_all(std::string(100, 'a'), found);
  CHECK(found.size() == 100);
  REQUIRE(failure([&] {
            for (int i = 0; i < 10; ++i) matcher.find_all(std::string(100, 'a'), found);
          }) ==
          "input t.json: regular expression 'a' takes too many steps on a text of 100 bytes: "
          "the call takes more than 1000 steps\n  note: nested repeats such as (a+)+ are the "
          "usual cause");
  CHECK(found.size() < 1000);
}

TEST_CASE("one pattern serves several threads") {
  const Regex regex("(\\p{L}+)\\s(\\p{N}+)");
  std::vector<std::thread> threads;
  std::array<int, 4> hits{};
  for (size_t t = 0; t < hits.size(); ++t)
    threads.emplace_back([&, t] {
      for (int i = 0; i < 2000; ++i) hits[t] += regex.search("--- héllo " + std::to_string(i));
    });
  for (auto& thread : threads) thread.join();
  CHECK(hits == std::array<int, 4>{2000, 2000, 2000, 2000});
}

TEST_CASE("an escaped text matches itself alone") {
  const std::string text = "a.b*[c]{2}(d)|^$\\ #&~-é";
  CHECK(Regex("^" + ktx::text::escape_regex(text) + "$").search(text));
  CHECK_FALSE(Regex("^" + ktx::text::escape_regex("a.b") + "$").search("axb"));
}

TEST_CASE("a match that begins before the search does is refused: it would come again and again") {
  const Regex regex(R"((?<=(?1))(?(DEFINE)(\Ka)))", "t.json");
  auto budget = ktx::text::StepBudget::for_text(2);
  std::vector<Span> matches;
  REQUIRE(
      failure([&] { Regex::Matcher(regex, budget).find_all("aa", matches); }) ==
      "input t.json: regular expression '(?<=(?1))(?(DEFINE)(\\Ka))' finds a match that overlaps "
      "the one before\n"
      "  note: \\K inside a lookbehind is the usual cause");
}
