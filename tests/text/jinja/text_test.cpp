// Texts keep the marks of what was given to them.
#include "text/jinja/text.hpp"

#include "catch.hpp"

using ktx::text::jinja::Text;

namespace {

using Ranges = std::vector<Text::Range>;

// "own " "GIVEN" " own"
Text mixed() {
  Text text("own ");
  text.append("GIVEN", true);
  text.append(" own");
  return text;
}

}  // namespace

TEST_CASE("a text knows which of its bytes were given") {
  const Text text = mixed();
  CHECK(text.bytes() == "own GIVEN own");
  CHECK(text.given_ranges() == Ranges{{4, 9}});
  for (size_t at = 0; at < text.size(); ++at) CHECK(text.is_given(at) == (at >= 4 && at < 9));
  CHECK(Text("own").given_ranges().empty());
  CHECK(Text::given("user").given_ranges() == Ranges{{0, 4}});
  CHECK(Text::given("").given_ranges().empty());
}

TEST_CASE("slices cut the marks with the bytes") {
  const Text text = mixed();
  CHECK(text.slice(0, 4).given_ranges().empty());
  CHECK(text.slice(4, 9).given_ranges() == Ranges{{0, 5}});
  CHECK(text.slice(2, 6).given_ranges() == Ranges{{2, 4}});
  CHECK(text.slice(6, 13).given_ranges() == Ranges{{0, 3}});
  CHECK(text.slice(9, 13).given_ranges().empty());
  CHECK(text.slice(5, 5).given_ranges().empty());
}

TEST_CASE("appending moves the marks, and joins those that touch") {
  Text text = Text::given("ab");
  text.append(Text::given("cd"));
  CHECK(text.given_ranges() == Ranges{{0, 4}});
  text.append(mixed());
  CHECK(text.given_ranges() == Ranges{{0, 4}, {8, 13}});
  text.append(mixed(), 7, 9);
  CHECK(text.bytes() == "abcdown GIVEN ownEN");
  CHECK(text.given_ranges() == Ranges{{0, 4}, {8, 13}, {17, 19}});
  text.append("", true);
  CHECK(text.given_ranges().size() == 3);
}
