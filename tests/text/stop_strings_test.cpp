// Stop strings at every cut of a text.
#include "text/stop_strings.hpp"

#include "catch.hpp"
#include "core/base/failure.hpp"
#include "text/unicode.hpp"

using ktx::test::failure;
using namespace ktx::text;

namespace {

struct Case {
  std::vector<std::string> stops;
  std::string text, expected;
  bool found = true;
};

const Case cases[] = {
    {{}, "any text", "any text", false},
    {{"STOP"}, "go on STO", "go on STO", false},
    {{"STOP"}, "go on STOP, and more STOP", "go on "},
    {{"STOP"}, "STOP", ""},
    {{"aab"}, "aaab", "a"},             // begins within what seemed to begin before
    {{"abcd", "bc"}, "xabcd", "xa"},    // complete first
    {{"bcd", "abcd"}, "xabcd", "x"},    // complete together
    {{"ab", "x"}, "aax", "aa"},         // one is undecided until the other is found
    {{"。終"}, "a。中。終z", "a。中"},  // characters with the same first bytes
    {{"\n\n", "User:"}, "one\ntwo\n\nUser:", "one\ntwo"},
};

}  // namespace

TEST_CASE("a text ends before its first stop string, wherever it is cut") {
  for (const auto& c : cases)
    for (size_t i = 0; i <= c.text.size(); ++i)
      for (size_t j = i; j <= c.text.size(); ++j) {
        CAPTURE(c.text, i, j);
        StopStrings stops(c.stops);
        auto out = stops.push(c.text.substr(0, i));
        out += stops.push(c.text.substr(i, j - i));
        out += stops.push(c.text.substr(j));
        REQUIRE(stops.found() == c.found);
        REQUIRE(out + stops.finish() == c.expected);
      }
}

TEST_CASE("only what may begin a stop string is held back") {
  StopStrings stops({"\nUser:", "<end>"});
  CHECK(stops.push("one\n") == "one");
  CHECK(stops.push("Us") == "");
  CHECK(stops.push("e <e") == "\nUse ");
  CHECK(stops.push("<") == "<e");
  CHECK(stops.push("end") == "");
  CHECK_FALSE(stops.found());
  CHECK(stops.push("> behind") == "");
  CHECK(stops.found());
  CHECK(stops.push("more") == "");
  CHECK(stops.finish() == "");
}

TEST_CASE("a stop string is text") {
  CHECK(failure([] {
          StopStrings({"a", ""});
        }) == "input stop string: expected a text, found none");
  CHECK(failure([] { StopStrings({"a\x80"}); }) ==
        "input stop string: expected UTF-8, found bytes that are none behind 'a'");
}
