// Tokens with their places, and mistakes that are said with theirs.
// covers: string_literal
#include "text/jinja/lexer.hpp"

#include "catch.hpp"
#include "core/base/failure.hpp"
#include "text/jinja/string_literal.hpp"
#include "text/jinja/template.hpp"

using namespace ktx::text::jinja;
using ktx::test::failure;

namespace {

std::string mistake(const std::string& source) {
  return failure([&] { Template(source, "t.jinja").render({}); });
}

}  // namespace

TEST_CASE("tokens know their line and column, in characters") {
  const auto tokens = tokenize("é{{ a +\n 'b' }}\n  {% if %}", "t");
  std::string places;
  for (const auto& token : tokens)
    places += std::to_string(token.at.line) + ":" + std::to_string(token.at.column) + " ";
  CHECK(places == "1:1 1:2 1:5 1:7 2:2 2:6 2:8 3:3 3:6 3:9 3:11 ");
}

TEST_CASE("escapes are Python's") {
  CHECK(unescaped("a\\n\\t\\\\\\'\\q") == "a\n\t\\'\\q");
  CHECK(unescaped("\\x41\\u00e9\\U0001F642\\101\\0") == std::string("Aé🙂A\0", 9));
  CHECK(unescaped("a\\\nb") == "ab");
  for (const std::string broken : {"\\x4", "\\u12", "\\ud800", "\\U00110000", "\\xzz"})
    CHECK_FALSE(unescaped(broken));
}

TEST_CASE("mistakes are said with line and column") {
  CHECK(mistake("a\n  {{ b").starts_with("input t.jinja:2:7: the tag has no end"));
  CHECK(mistake("{# x").starts_with("input t.jinja:1:1: the comment has no end"));
  CHECK(mistake("{% raw %}x").starts_with("input t.jinja:1:1: the raw block has no end"));
  CHECK(mistake("{{ 'a }}") == "input t.jinja:1:4: the string has no end");
  CHECK(mistake("{{ (1] }}") == "input t.jinja:1:6: unexpected ']', expected ')'");
  CHECK(mistake("{{ ! }}") == "input t.jinja:1:4: unexpected '!'");
  CHECK(mistake("{{ 99999999999999999999 }}")
            .starts_with("input t.jinja:1:4: expected an integer of at most 64 bits"));
  CHECK(mistake("{% if x %}\ny").starts_with("input t.jinja:2:2: expected '{% endif %}'"));
  CHECK(mistake("{% fro x in y %}").starts_with("input t.jinja:1:4: unknown tag 'fro'"));
  CHECK(mistake("x\n{{ 1 + none }}") ==
        "input t.jinja:2:6: unsupported operand types for +: 'int' and 'NoneType'");
  CHECK(mistake("{{ x.y }}") == "input t.jinja:1:5: 'x' is undefined");
  CHECK(mistake("{{ 'a'\n  | uper }}").starts_with("input t.jinja:2:3: no filter named 'uper'"));
  CHECK(mistake("{{ 'a' | uper }}").find("did you mean 'upper'") != std::string::npos);
  CHECK(mistake("\n\n{{ raise_exception('no') }}") == "input t.jinja:3:19: no");
  CHECK(mistake("{{ 'a'.split(1, 2, 3) }}").find("takes at most 2 arguments") != std::string::npos);
  CHECK(mistake("{{ 'a'.split(by=1) }}").find("has no parameter 'by'") != std::string::npos);
}
