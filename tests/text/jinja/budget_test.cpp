// Hostile templates end in an error, after a bounded number of steps, bytes and levels.
#include "text/jinja/budget.hpp"

#include <list>
#include <string>

#include "catch.hpp"
#include "core/base/failure.hpp"
#include "text/jinja/template.hpp"

using namespace ktx::text::jinja;
using ktx::test::failure;

namespace {

std::string repeated(const std::string& text, int times) {
  std::string out;
  for (int i = 0; i < times; ++i) out += text;
  return out;
}

std::string outcome(const std::string& source) {
  return failure([&] { Template(source, "t").render({}); });
}

void check_refused(const std::string& source) {
  INFO(source.substr(0, 200));
  CHECK(outcome(source).starts_with("input t:"));
}

const std::string loops = "{% for a in range(99999) %}{% for b in range(99999) %}";

}  // namespace

TEST_CASE("steps are counted, and paid before the work is done") {
  Budget budget(1000);
  CHECK_NOTHROW(budget.pay(4'000'000));
  CHECK_NOTHROW(budget.pay(64 * 1000));
  CHECK(failure([&] { budget.pay(1); }).find("steps") != std::string::npos);
  Budget bytes(0);
  CHECK(failure([&] { bytes.pay_bytes(uint64_t{1} << 40); }).find("steps") != std::string::npos);
}

TEST_CASE("levels end with what they are for") {
  Budget budget(0);
  for (int i = 0; i < 5000; ++i) const Budget::Level level(budget);
  std::list<Budget::Level> held;
  const auto hold = [&] {
    for (int i = 0; i < 5000; ++i) held.emplace_back(budget);
  };
  CHECK(failure(hold).find("levels") != std::string::npos);
  CHECK(held.size() < 5000);
}

TEST_CASE("templates without an end are stopped") {
  for (const std::string body :
       {"x", "{{ a * b }}", "{{ 'abc' | upper | replace('B', 'xyz') }}", "{% set c = [a, b] %}",
        "{{ [a, b, a, b] | sort | join(',') }}", "{{ {'a': a} | tojson(indent=4) }}", "",
        "{% if a == b or a in [1, 2] %}{% endif %}", "{{ '%s-%5d' % (a, b) }}",
        "{{ '{:>9}'.format(a) }}", "{% set n = namespace(a=a) %}"})
    check_refused(loops + body + "{% endfor %}{% endfor %}");
  check_refused("{% macro m() %}{{ m() }}{{ m() }}{% endmacro %}{{ m() }}");
  check_refused(
      "{% macro m(n) %}{% for x in range(9) %}{{ m(n + 1) if n < 40 }}{% endfor %}"
      "{% endmacro %}{{ m(0) }}");
  check_refused("{% for x in [1] recursive %}{{ loop([1]) }}{% endfor %}");
  check_refused(
      "{% macro a() %}{% call b() %}{% endcall %}{% endmacro %}"
      "{% macro b() %}{{ a() }}{{ caller() }}{% endmacro %}{{ a() }}");
  check_refused(
      "{% set ns = namespace(f=none) %}{% macro m() %}{{ ns.f() }}{% endmacro %}"
      "{% set ns.f = m %}{{ m() }}");
}

TEST_CASE("values that would be too large are not made") {
  for (const std::string value : {"'a' * 10**9",
                                  "'ab' * 10**18",
                                  "[1] * 10**9",
                                  "(1,) * 10**15",
                                  "range(10**9)",
                                  "range(10**9) | list",
                                  "'%999999999d' % 1",
                                  "'%.999999999f' % 1.5",
                                  "'%*d' % (2000000000, 1)",
                                  "'{:>999999999}'.format(1)",
                                  "'{:.999999999f}'.format(1.5)",
                                  "'{:{}}'.format(1, 999999999)",
                                  "'a'.center(10**9)",
                                  "'a'.ljust(10**10)",
                                  "'a'.zfill(10**9)",
                                  "'a' | center(10**9)",
                                  "'a\\nb' | indent(10**9)",
                                  "'\\t'.expandtabs(10**9)",
                                  "[1] | batch(10**9, 0) | list",
                                  "[1] | slice(10**9) | list",
                                  "[[1]] | tojson(indent=10**9)",
                                  "10 ** 100",
                                  "2 ** 62 * 4",
                                  "(10**18) * 100",
                                  "('a' * 10**6).replace('a', 'b' * 10**6)",
                                  "('a' * 10**6).replace('', 'b' * 10**6)",
                                  "('b' * 10**6).join('a' * 10**6)",
                                  "1.5 | round(10**9)",
                                  "9 ** 9 ** 9"})
    check_refused("{{ " + value + " }}");
  check_refused(
      "{% set ns = namespace(s='a') %}{% for i in range(64) %}"
      "{% set ns.s = ns.s ~ ns.s %}{% endfor %}{{ ns.s | length }}");
  check_refused(
      "{% set ns = namespace(l=[1]) %}{% for i in range(64) %}"
      "{% set ns.l = ns.l + ns.l %}{% endfor %}");
  check_refused(
      "{% set ns = namespace(l=[1]) %}{% for i in range(99) %}"
      "{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l }}");
  check_refused(
      "{% set ns = namespace(l=[1]) %}{% for i in range(99) %}"
      "{% set ns.l = [ns.l, ns.l] %}{% endfor %}{{ ns.l | tojson }}");
  check_refused(
      "{% set ns = namespace(l=[1], m=[1]) %}{% for i in range(99) %}"
      "{% set ns.l = [ns.l, ns.l] %}{% set ns.m = [ns.m, ns.m] %}{% endfor %}"
      "{{ ns.l == ns.m }}");
}

TEST_CASE("what is nested too deep is refused") {
  check_refused("{{ " + repeated("(", 100'000) + "1" + repeated(")", 100'000) + " }}");
  check_refused("{{ " + repeated("[", 100'000) + repeated("]", 100'000) + " }}");
  check_refused("{{ " + repeated("not ", 100'000) + "1 }}");
  check_refused("{{ " + repeated("-", 100'000) + "1 }}");
  check_refused("{{ x" + repeated(".a", 100'000) + " }}");
  check_refused("{{ 'x'" + repeated("|upper", 100'000) + " }}");
  check_refused("{{ 1" + repeated(" + 1", 100'000) + " }}");
  check_refused("{{ " + repeated("1 if 1 else ", 100'000) + "1 }}");
  check_refused("{{ 1" + repeated(" and 1", 100'000) + " }}");
  check_refused("{{ f" + repeated("(f", 100'000) + repeated(")", 100'000) + " }}");
  check_refused(repeated("{% if 1 %}", 100'000) + repeated("{% endif %}", 100'000));
  check_refused(repeated("{% for x in [1] %}", 100'000));
  check_refused("{% set " + repeated("(", 100'000) + " }}");
  check_refused(
      "{% set ns = namespace(l=1) %}{% for i in range(9999) %}"
      "{% set ns.l = [ns.l] %}{% endfor %}");
  check_refused(
      "{% set ns = namespace(l=1) %}{% for i in range(9999) %}"
      "{% set ns.l = {'a': ns.l} %}{% endfor %}");
  check_refused(
      "{% set ns = namespace(l=1) %}{% for i in range(9999) %}"
      "{% set ns.l = cycler(ns.l) %}{% endfor %}");
}

TEST_CASE("values that hold themselves are let go") {
  for (const std::string source :
       {"{% set ns = namespace() %}{% set ns.me = ns %}{{ ns.me.me is defined }}",
        "{% set ns = namespace() %}{% for i in range(999) %}{% set ns.x = namespace(y=ns.x) %}"
        "{% endfor %}",
        "{% macro m() %}{{ m.name }}{% endmacro %}{{ m() }}",
        "{% set ns = namespace() %}{% for x in [1] %}{% set ns.l = loop %}{% endfor %}"
        "{{ ns.l.index }}",
        "{% set ns = namespace() %}{% macro w(old) %}{% call k() %}{{ old }}{% endcall %}"
        "{% endmacro %}{% macro k() %}{% set ns.c = caller %}{% endmacro %}"
        "{% for i in range(999) %}{{ w(ns.c) }}{% endfor %}"})
    CHECK(outcome(source) == "nothing thrown");
}

TEST_CASE("a long conversation has steps enough") {
  std::vector<Value> messages;
  for (int i = 0; i < 3000; ++i)
    messages.push_back(Dict{.items = {{Text("role"), Text("user")},
                                      {Text("content"), Text::given(repeated("word ", 100))}}});
  const Dict variables{.items = {{Text("messages"), list_of(std::move(messages))}}};
  const Template walk("{% for m in messages %}{{ m.role ~ ': ' + m.content | trim }}\n{% endfor %}",
                      "t");
  CHECK(walk.render(variables).size() == size_t{3000} * 506);
}
