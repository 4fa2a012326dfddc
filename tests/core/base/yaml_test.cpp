// YAML: the tree, positions, typed access, and hostile input.
#include "core/base/yaml.hpp"

#include <fstream>

#include "catch.hpp"
#include "core/base/failure.hpp"

using namespace ktx;
using base::parse_yaml;
using base::yaml_quoted;
using base::YamlKind;
using test::failure;

namespace {
std::string error_of(const std::string& text) {
  return failure([&] { (void)parse_yaml(text, "r.yaml"); });
}
}  // namespace

TEST_CASE("quoted text is read as it was") {
  for (const std::string text : {"", "plain", "it's", "a: b", "null", "two\nlines", "\t#\"\\"})
    CHECK(parse_yaml("key: " + yaml_quoted(text), "f").find("key")->scalar == text);
  CHECK(yaml_quoted("it's") == "'it''s'");
}

TEST_CASE("every node knows its position") {
  const auto yaml = parse_yaml(
      "ktx: 1\n"
      "rules:\n"
      "  - name: 'routed experts'\n"
      "    place: {device: cpu, empty: }\n"
      "  - [x, ~]\n",
      "r.yaml");
  REQUIRE(yaml.kind == YamlKind::map);
  REQUIRE(yaml.where == "r.yaml:1:1");
  REQUIRE(yaml.entries.size() == 2);
  REQUIRE(yaml.entries[0].first.scalar == "ktx");
  REQUIRE(yaml.entries[1].first.where == "r.yaml:2:1");
  REQUIRE(yaml.find("ktx")->where == "r.yaml:1:6");
  REQUIRE_FALSE(yaml.find("ktx")->quoted);
  const auto& rules = yaml.find("rules")->as_sequence("rules");
  REQUIRE(rules.size() == 2);
  REQUIRE(rules[0].where == "r.yaml:3:5");
  REQUIRE(rules[0].find("name")->where == "r.yaml:3:11");
  REQUIRE(rules[0].find("name")->quoted);
  const auto* place = rules[0].find("place");
  REQUIRE(place->where == "r.yaml:4:12");
  REQUIRE(place->find("device")->where == "r.yaml:4:21");
  REQUIRE(place->find("empty")->kind == YamlKind::null);
  REQUIRE(place->find("empty")->where == "r.yaml:4:26");
  REQUIRE(rules[1].items[1].kind == YamlKind::null);
  REQUIRE(yaml.find("no such key") == nullptr);
}

TEST_CASE("entries keep the file's order") {
  const auto yaml = parse_yaml("{z: 1, a: 2, m: 3}", "f");
  REQUIRE(yaml.entries[0].first.scalar == "z");
  REQUIRE(yaml.entries[1].first.scalar == "a");
  REQUIRE(yaml.entries[2].first.scalar == "m");
}

TEST_CASE("an empty document is nothing") {
  for (const char* text : {"", "\n", "# a comment\n", "---\n", "~"})
    REQUIRE(parse_yaml(text, "f").kind == YamlKind::null);
}

TEST_CASE("typed access") {
  const auto yaml = parse_yaml(
      "text: hello\nint: -12\nhuge: 99999999999999999999\nfloat: 1.5e3\nyes: true\nno: false\n"
      "list: [1]\nmap: {a: 1}\nnothing:\nnan: nan\n",
      "f");
  REQUIRE(yaml.find("text")->as_string("t") == "hello");
  REQUIRE(yaml.find("int")->as_int("t") == -12);
  REQUIRE(yaml.find("int")->as_double("t") == -12.0);
  REQUIRE(yaml.find("float")->as_double("t") == 1500.0);
  REQUIRE(yaml.find("yes")->as_bool("t"));
  REQUIRE_FALSE(yaml.find("no")->as_bool("t"));
  REQUIRE(parse_yaml("a: yes", "f").find("a")->as_bool("t"));
  REQUIRE_FALSE(parse_yaml("a: no", "f").find("a")->as_bool("t"));
  for (const auto& [text, value] : {std::pair("True", true), std::pair("TRUE", true),
                                    std::pair("False", false), std::pair("FALSE", false)})
    REQUIRE(parse_yaml(std::string("a: ") + text, "f").find("a")->as_bool("t") == value);
  REQUIRE(yaml.find("list")->as_sequence("t").size() == 1);
  REQUIRE(yaml.find("map")->as_map("t").size() == 1);

  const auto wrong = [&](const char* key, auto access) {
    return failure([&] { access(*yaml.find(key)); });
  };
  REQUIRE(wrong("list", [](auto& y) { y.as_string("name"); }) ==
          "input f:7:7: name: expected a text, found a list");
  REQUIRE(wrong("nothing", [](auto& y) { y.as_string("name"); }) ==
          "input f:9:1: name: expected a text, found nothing");
  REQUIRE(wrong("text", [](auto& y) { y.as_int("ktx"); }) ==
          "input f:1:7: ktx: expected a whole number, found 'hello'");
  REQUIRE(wrong("float", [](auto& y) { y.as_int("ktx"); }) ==
          "input f:4:8: ktx: expected a whole number, found '1.5e3'");
  REQUIRE(wrong("huge", [](auto& y) { y.as_int("ktx"); }) ==
          "input f:3:7: ktx: expected a whole number, found '99999999999999999999'");
  REQUIRE(wrong("nan", [](auto& y) { y.as_double("x"); }) ==
          "input f:10:6: x: expected a number, found 'nan'");
  REQUIRE(wrong("map", [](auto& y) { y.as_double("x"); }) ==
          "input f:8:6: x: expected a number, found a map");
  REQUIRE(wrong("int", [](auto& y) { y.as_bool("x"); }) ==
          "input f:2:6: x: expected true or false, found '-12'");
  REQUIRE(wrong("text", [](auto& y) { y.as_sequence("rules"); }) ==
          "input f:1:7: rules: expected a list, found 'hello'");
  REQUIRE(wrong("list", [](auto& y) { y.as_map("place"); }) ==
          "input f:7:7: place: expected a map, found a list");
}

TEST_CASE("a message shows the beginning of a long text") {
  const auto yaml = parse_yaml(std::string(5000, 'x'), "f");
  REQUIRE(yaml.describe() == "'" + std::string(80, 'x') + "...'");
}

TEST_CASE("bad YAML is an error with its position") {
  REQUIRE(error_of("a: 1\nb: [1\n") ==
          "input r.yaml:3:1: not valid YAML: end of sequence flow not found\n"
          "  note: a { or [ before it is not closed");
  const std::string colon =
      "\n  note: keys of one map begin in the same column; a text that has ': ' in it needs quotes";
  REQUIRE(error_of("a: b: c") == "input r.yaml:1:5: not valid YAML: illegal map value" + colon);
  REQUIRE(error_of("a: 1\n b: 2\n") ==
          "input r.yaml:2:3: not valid YAML: illegal map value" + colon);
  REQUIRE(error_of("a: \"\\.b\"") ==
          "input r.yaml:1:7: not valid YAML: unknown escape character: .\n  note: a backslash "
          "between double quotes begins an escape; between single quotes it is itself: "
          "'\\.experts$'");
  REQUIRE(error_of("a: 1\nb:\n\t- c: d\n\t  e: f\n")
              .ends_with("the line begins with a tab; YAML is "
                         "indented with spaces"));
  // yaml-cpp 0.8 names the anchor after it.
  REQUIRE(error_of("a: *x").rfind(
              "input r.yaml:1:4: not valid YAML: the referenced anchor is not defined", 0) == 0);
  REQUIRE(error_of("a: @x") == "input r.yaml:1:4: not valid YAML: unknown token");
}

TEST_CASE("what YAML allows and ktx does not") {
  REQUIRE(error_of("x:\n  a: 1\n  b: 2\n  a: 3\n") ==
          "input r.yaml:4:3: key 'a' is given twice\n  note: the first is at r.yaml:2:3");
  REQUIRE(error_of("? [a]\n: b") == "input r.yaml:1:3: a key must be a plain word");
  REQUIRE(error_of("~: 3") == "input r.yaml:1:1: a key must be a plain word");
  REQUIRE(error_of("a: 1\n---\nb: 2\n") ==
          "input r.yaml:2:1: expected one YAML document and nothing after it, found '---'");
  REQUIRE(error_of("a: !secret x") ==
          "input r.yaml:1:4: expected a plain YAML value, found the tag '!secret'");
}

TEST_CASE("what follows the document is an error, not a file without end") {
  const auto found = [](const std::string& where, const std::string& what) {
    return "input r.yaml:" + where + ": expected one YAML document and nothing after it, found '" +
           what + "'";
  };
  REQUIRE(error_of("{ktx: 1, rules: []},") == found("1:20", ","));
  REQUIRE(error_of("{ktx: 1, rules: []},\n") == found("1:20", ","));
  REQUIRE(error_of(",") == found("1:1", ","));
  REQUIRE(error_of("# box\n,\n") == found("2:1", ","));
  REQUIRE(error_of("- a\n,") == found("2:1", ","));
  REQUIRE(error_of("a: 1\n--- ,") == found("2:1", "--- ,"));
  REQUIRE(error_of("[1],,") == found("1:4", ",,"));
  REQUIRE(error_of("{a: 1}, {b: 2}") == found("1:7", ", {b: 2}"));
  REQUIRE(error_of("[1] [2]") == found("1:5", "[2]"));
  REQUIRE(error_of("'a' 'b'") == found("1:5", "'b'"));
  REQUIRE(error_of("{a: 1}\n- b\n") == found("2:1", "- b"));
  REQUIRE(error_of("{a: 1}\n&x") == found("2:1", "&x"));
  REQUIRE(error_of("{a: 1}" + std::string(200, ',')) == found("1:7", std::string(80, ',') + "..."));
  for (const char* text : {"]", "}", "{a: 1}]", "{a: 1}}", "a: ,", "a: [1],\nb: 2", "[,", "{,"}) {
    INFO(text);
    REQUIRE(error_of(text).rfind("input r.yaml:1:", 0) == 0);
  }
}

TEST_CASE("aliases are expanded") {
  const auto yaml = parse_yaml("a: &x {k: [1, 2]}\nb: *x\n", "f");
  REQUIRE(yaml.find("b")->find("k")->items.size() == 2);
  REQUIRE(yaml.find("b")->where == "f:1:4");  // where the value is written
}

TEST_CASE("deep YAML is an error, not a crash") {
  const std::string flow = std::string(64, '[') + std::string(64, ']');
  REQUIRE(error_of(flow) == "nothing thrown");
  REQUIRE(error_of("[" + flow + "]") == "nothing thrown");  // 64 levels below the document
  REQUIRE(error_of("[[" + flow + "]]") == "input r.yaml:1:66: YAML nested deeper than 64 levels");
  REQUIRE(error_of("a: &x [*x]") == "input r.yaml:1:4: YAML nested deeper than 64 levels");
  for (const char open : {'[', '{'})
    REQUIRE(error_of(std::string(200'000, open)) == "input r.yaml:1:1: YAML nested too deeply");
}

TEST_CASE("a billion laughs are refused") {
  std::string bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
  for (int i = 1; i < 10; ++i) {
    const auto alias = "*a" + std::to_string(i - 1);
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [" + alias;
    for (int k = 1; k < 10; ++k) bomb += ", " + alias;
    bomb += "]\n";
  }
  const std::string message =
      "YAML larger than a million nodes (of 64 characters), its aliases expanded";
  REQUIRE(error_of(bomb).find(message) != std::string::npos);

  std::string texts = "a: &a " + std::string(100'000, 'x') + "\nb: [*a";
  for (int i = 0; i < 1000; ++i) texts += ", *a";
  REQUIRE(error_of(texts + "]").find(message) != std::string::npos);
}

TEST_CASE("every cut and every flipped byte of YAML gives a tree or an input error") {
  const std::string good =
      "ktx: 1\nrules:\n  - name: \"a\\tb\"\n    match: {class: moe, layers: [3, 60]}\n"
      "    x: &a |\n      text\n    y: *a\n";
  for (size_t i = 0; i < good.size(); ++i) {
    const auto cut = error_of(good.substr(0, i));
    REQUIRE((cut == "nothing thrown" || cut.substr(0, 13) == "input r.yaml:"));
    for (int bit = 0; bit < 8; ++bit) {
      auto bad = good;
      bad[i] = static_cast<char>(bad[i] ^ (1 << bit));
      const auto flipped = error_of(bad);
      REQUIRE((flipped == "nothing thrown" || flipped.substr(0, 13) == "input r.yaml:"));
    }
  }
}

TEST_CASE("read_yaml reads a file and names it in errors") {
  const std::string file = "yaml_test.tmp.yaml";
  std::ofstream(file) << "a: 1\na: 2\n";
  REQUIRE(failure([&] { (void)base::read_yaml(file); }) ==
          "input yaml_test.tmp.yaml:2:1: key 'a' is given twice\n"
          "  note: the first is at yaml_test.tmp.yaml:1:1");
  std::filesystem::remove(file);
  REQUIRE(failure([&] { (void)base::read_yaml(file); }) ==
          "input yaml_test.tmp.yaml: can't be read: No such file or directory");
}
