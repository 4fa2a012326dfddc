// Writing rules files: comments, quotes, and that ktx reads what it wrote.
#include "placement/import/rules_text.hpp"

#include <sstream>

#include "../sample.hpp"
#include "catch.hpp"

using namespace ktx;
using namespace ktx::placement;

TEST_CASE("a written file is read back") {
  RulesText text("A head of two lines,\nthis is the second.");
  Match match;
  match.class_name = {"moe.experts", {}};
  match.layers = {{{3, 5}, {7, 7}}, {}};
  text.section("an experts' rule");
  text.comment("and a word on it");
  text.rule("experts: all", match, {.devices = {"cpu"}, .format = "int8"},
            {.devices = {"cuda:0", "cuda:1"}, .stream = true});
  Match all;
  all.name = {{"it's|.*", nullptr}, {}};
  text.section("the rest");
  text.rule("rest", all, {.devices = {"cuda:0"}});
  CHECK(text.text() == R"(# A head of two lines,
# this is the second.
ktx: 1
rules:
  # an experts' rule
  # and a word on it
  - name: 'experts: all'
    match: {class: moe.experts, layers: '3-5,7'}
    place: {device: cpu, format: int8}
    prefill: {device: ['cuda:0', 'cuda:1'], spread: layers, stream: yes}

  # the rest
  - name: rest
    match: {name: 'it''s|.*'}
    place: {device: 'cuda:0'}
)");
  const auto rules = sample::rules(text.text());
  REQUIRE(rules.rules.size() == 2);
  CHECK(rules.rules[0].name == "experts: all");
  CHECK(rules.rules[0].match.layers->value == match.layers->value);
  CHECK(rules.rules[0].prefill->devices->value.size() == 2);
  CHECK(rules.rules[1].match.name->value.text == "it's|.*");
}

TEST_CASE("comments are wrapped at 100 columns, longer words stay whole") {
  RulesText text("");
  std::string words, word(200, 'x');
  for (int i = 0; i < 60; ++i) words += "word ";
  text.comment(words + word + " end");
  std::istringstream lines(text.text());
  int comments = 0;
  for (std::string line; std::getline(lines, line);) {
    CHECK((line.size() <= 100 || line == "  #   " + word));
    comments += line.starts_with("  #") ? 1 : 0;
  }
  CHECK(comments == 6);
}
