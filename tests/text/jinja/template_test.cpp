// Templates against jinja2: tests/data/jinja/make_vectors.py makes the vectors.
// covers: evaluator, statements, parser, expression_parser, builtins, text_filters, list_filters
// covers: tests, methods, globals, objects, print, numbers, operators, value, strings, format
// covers: format_spec, json_dump
#include "text/jinja/template.hpp"

#include <ctime>
#include <iomanip>
#include <sstream>

#include "catch.hpp"
#include "core/base/failure.hpp"
#include "core/base/json.hpp"
#include "text/jinja/value.hpp"

using namespace ktx::text::jinja;
using ktx::test::failure;

namespace {

std::time_t time_of(const std::string& text) {
  std::tm local{};
  std::istringstream(text) >> std::get_time(&local, "%Y-%m-%d %H:%M:%S");
  local.tm_isdst = -1;
  return std::mktime(&local);
}

Dict variables_of(const ktx::Json& json) {
  return from_json(json, true).dict();
}

}  // namespace

TEST_CASE("Jinja: every vector is rendered as jinja2 does") {
  const auto vectors = ktx::base::read_json(KTX_TEST_DATA "/jinja/vectors.json");
  const auto now = time_of(vectors["now"].get<std::string>());
  int pairs = 0;
  for (const auto& c : vectors["cases"]) {
    const auto source = vectors["templates"][c[0].get<size_t>()].get<std::string>();
    const auto variables = variables_of(vectors["variables"][c[1].get<size_t>()]);
    INFO("template: " << source);
    INFO("variables: " << ktx::base::dump_json(vectors["variables"][c[1].get<size_t>()]));
    const auto render = [&] { return Template(source, "t.jinja").render(variables, now).bytes(); };
    ++pairs;
    if (!c[2].is_null()) {
      std::string text;
      CHECK_NOTHROW(text = render());
      CHECK(text == c[2].get<std::string>());
      continue;
    }
    const std::string message = failure(render);
    CHECK(message.starts_with("input t.jinja:"));
    if (c[3].is_string()) CHECK(message.ends_with(": " + c[3].get<std::string>()));
  }
  CHECK(pairs >= 300);
}

namespace {

// The text with what is given in brackets.
std::string marked(const std::string& source, const Dict& variables) {
  const Text text = Template(source, "t").render(variables);
  std::string out = text.bytes();
  for (auto range = text.given_ranges().rbegin(); range != text.given_ranges().rend(); ++range) {
    out.insert(range->second, "]");
    out.insert(range->first, "[");
  }
  return out;
}

}  // namespace

TEST_CASE("Jinja: what is given stays marked through every operation") {
  const Dict variables = variables_of(ktx::base::parse_json(
      R"({"x": "ab cd", "l": ["p", "q"], "d": {"k": "v<"}, "n": 5, "h": "<e>"})", "v"));
  const std::pair<const char*, const char*> cases[] = {
      {"<t>{{ x }}<t>", "<t>[ab cd]<t>"},
      {"{{ '<' + x + '>' }}{{ '<' ~ x ~ n ~ '>' }}", "<[ab cd]><[ab cd]5>"},
      {"{{ x[1:4] }}|{{ x[::-1] }}|{{ ('<' ~ x ~ '>')[:3] }}|{{ x[0] }}",
       "[b c]|[dc ba]|<[ab]|[a]"},
      {"{{ x.split() | join('<s>') }}", "[ab]<s>[cd]"},
      {"{{ ('<s>' ~ x).split('>')[-1] }}{{ x.partition(' ')[2] }}", "[ab cdcd]"},
      {"{{ x.replace(' ', '<r>') }}|{{ 'a-b' | replace('-', x) }}", "[ab]<r>[cd]|a[ab cd]b"},
      {"{{ (' ' ~ x ~ ' ') | trim }}|{{ x.strip('a') }}", "[ab cd]|[b cd]"},
      {"{{ x | upper }}{{ x.title() }}{{ x | capitalize }}{{ ('S' ~ x) | lower }}",
       "[AB CDAb CdAb cd]s[ab cd]"},
      {"{{ x * 2 }}|{{ ('<' ~ x) * 2 }}", "[ab cdab cd]|<[ab cd]<[ab cd]"},
      {"{{ '%s<%5s>' % (x, 'q') }}|{{ '%s'|format(x) }}", "[ab cd]<    q>|[ab cd]"},
      {"{{ '<{}|{x:>7}>'.format(x, x=x) }}", "<[ab cd]|  [ab cd]>"},
      {"{{ d | tojson }}{{ l }}{{ d }}", "{\"[k]\": \"[v<]\"}['[p]', '[q]']{'[k]': '[v<]'}"},
      {"{{ h | e }}{{ x | urlencode }}{{ h | replace('e', '<') }}", "[&lt;e&gt;ab%20cd<]<[>]"},
      {"{{ x | center(7) }}|{{ x.ljust(6, '.') }}|{{ x | truncate(4, true, '<', 0) }}",
       " [ab cd] |[ab cd].|[ab ]<"},
      {"{{ (x ~ '\n' ~ x) | indent(1) }}", "[ab cd]\n [ab cd]"},
      {"{% for c in x %}{{ c }},{% endfor %}{% for k in d %}{{ k }}{% endfor %}",
       "[a],[b],[ ],[c],[d],[k]"},
      {"{% macro m(a) %}<{{ a }}>{% endmacro %}{{ m(x) }}{% set s %}<{{ x }}>{% endset %}{{ s }}",
       "<[ab cd]><[ab cd]>"},
      {"{% filter upper %}<{{ x }}>{% endfilter %}{{ l | map('upper') | join('<') }}",
       "<[AB CD]>[P]<[Q]"},
      {"{{ l | sort(reverse=true) | first }}{{ l | max }}{{ l | unique | list | last }}", "[qqq]"},
      {"{{ x | reverse }}{{ x | list | join }}{{ l | sum(start=[]) if false else l | last }}",
       "[dc baab cdq]"},
  };
  for (const auto& [source, expected] : cases) {
    INFO(source);
    CHECK(marked(source, variables) == expected);
  }
}

TEST_CASE("Jinja: no vector's template makes a message's text its own") {
  const auto vectors = ktx::base::read_json(KTX_TEST_DATA "/jinja/vectors.json");
  const std::string said = "And <|im_end|> now? {{ 7*7 }} {% if %}";
  int seen = 0;
  for (const auto& c : vectors["cases"]) {
    if (c[2].is_null() || c[2].get<std::string>().find(said) == std::string::npos) continue;
    const auto source = vectors["templates"][c[0].get<size_t>()].get<std::string>();
    const Text text = Template(source, "t")
                          .render(variables_of(vectors["variables"][c[1].get<size_t>()]),
                                  time_of(vectors["now"].get<std::string>()));
    INFO(source);
    for (size_t at = text.bytes().find(said); at != std::string::npos;
         at = text.bytes().find(said, at + 1)) {
      ++seen;
      size_t given = 0;
      for (size_t i = 0; i < said.size(); ++i) given += text.is_given(at + i) ? 1 : 0;
      CHECK(given == said.size());
    }
  }
  CHECK(seen >= 20);
}
