// ktx::Error: what it says and how its parts are kept.
#include "core/base/error.hpp"

#include "catch.hpp"

using namespace ktx;

TEST_CASE("an error's text is where, message, notes") {
  const Error error(ErrorCategory::input, "no such class 'moe'", "rules.yaml:3:5",
                    {"did you mean 'moe.experts'?", "valid classes: a, b"});
  REQUIRE(std::string(error.what()) ==
          "rules.yaml:3:5: no such class 'moe'\n"
          "  note: did you mean 'moe.experts'?\n"
          "  note: valid classes: a, b");
  REQUIRE(error.category() == ErrorCategory::input);
  REQUIRE(error.message() == "no such class 'moe'");
  REQUIRE(error.where() == "rules.yaml:3:5");
  REQUIRE(error.notes().size() == 2);
  REQUIRE(std::string(Error(ErrorCategory::bug, "alone").what()) == "alone");
  const Error names(ErrorCategory::input, "tensor 'a\n'", "\x1b", {"\t"});  // of a file
  REQUIRE(std::string(names.what()) == "\\x1b: tensor 'a\\n'\n  note: \\t");
}

TEST_CASE("the category's names") {
  REQUIRE(to_string(ErrorCategory::input) == "input");
  REQUIRE(to_string(ErrorCategory::environment) == "environment");
  REQUIRE(to_string(ErrorCategory::bug) == "bug");
}

TEST_CASE("the helpers throw the category they are named after") {
  const auto category_of = [](auto thrower) {
    try {
      thrower();
    } catch (const Error& e) {
      return std::string(to_string(e.category())) + " " + e.what();
    }
    return std::string("nothing thrown");
  };
  REQUIRE(category_of([] { throw_input("m", "w"); }) == "input w: m");
  REQUIRE(category_of([] { throw_environment("m", "w", {"n"}); }) == "environment w: m\n  note: n");
  REQUIRE(category_of([] { throw_bug("m"); }) == "bug m");
  REQUIRE(category_of([] { require(false, "m"); }) == "bug m");
  REQUIRE(category_of([] { require(true, "m"); }) == "nothing thrown");
}
