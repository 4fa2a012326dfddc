// Keys that the user sets.
#include "loader/overrides.hpp"

#include <vector>

#include "catch.hpp"
#include "files.hpp"

namespace ktx::loader {
namespace {

Json with(Json config, const std::string& text, bool nested = true) {
  const std::vector<std::string> overrides{text};
  apply_overrides(config, overrides, nested);
  return config;
}

TEST_CASE("overrides are JSON, or else texts, of members or of members of members") {
  const Json config{{"a", 1}, {"s", {{"b", 2}}}};
  CHECK(with(config, "a=2")["a"] == 2);
  CHECK(with(config, "a=yarn")["a"] == "yarn");
  CHECK(with(config, "a=")["a"] == "");
  CHECK(with(config, "c=[1, 2]")["c"] == Json({1, 2}));
  CHECK(with(config, "c=x=y")["c"] == "x=y");
  CHECK(with(config, "s.b=null")["s"]["b"].is_null());
  CHECK(with(config, "s.b=3", false)["s.b"] == 3);
  CHECK(with(config, "t.b=3")["t.b"] == 3);
  for (const char* text : {"a", "", "=3"})
    CHECK(message_of([&] { with(config, text); }) ==
          "input: expected KEY=VALUE, found '" + std::string(text) + "'");
}

}  // namespace
}  // namespace ktx::loader
