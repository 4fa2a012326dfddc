// JSON: order, positions of errors, hostile input, large objects.
#include "core/base/json.hpp"

#include <fstream>

#include "catch.hpp"
#include "core/base/failure.hpp"

using namespace ktx;
using base::parse_json;
using test::failure;

TEST_CASE("objects keep the file's order") {
  const auto json = parse_json(R"({"z": 1, "a": [true, null, -2, 1.5, "x"], "m": {"k": {}}})", "f");
  REQUIRE(base::dump_json(json) == R"({"z":1,"a":[true,null,-2,1.5,"x"],"m":{"k":{}}})");
  REQUIRE(json["a"][2].get<int>() == -2);
  REQUIRE(json.at("m").at("k").empty());
  REQUIRE(json.contains("z"));
  REQUIRE_FALSE(json.contains("zz"));
  REQUIRE(base::dump_json(json["m"], 2) == "{\n  \"k\": {}\n}");
}

TEST_CASE("appended members come last and are found") {
  Json json = {{"z", 1}};
  base::append(json, "a", {{"k", 2}});
  base::append(json, "m", "text");
  REQUIRE(base::dump_json(json) == R"({"z":1,"a":{"k":2},"m":"text"})");
  REQUIRE(json.at("m") == "text");
}

TEST_CASE("invalid UTF-8 is replaced when written") {
  REQUIRE(base::dump_json(Json("a\xff"
                               "b")) ==
          "\"a\xef\xbf\xbd"
          "b\"");
}

TEST_CASE("a JSON error names file, line and column") {
  const auto where = [](const char* text) {
    return failure([&] { (void)parse_json(text, "c.json"); });
  };
  REQUIRE(where("") == "input c.json:1:1: not valid JSON");
  REQUIRE(where("[1, 2") == "input c.json:1:6: not valid JSON");
  REQUIRE(where("{\"a\": 1,\n \"b\" 2}") == "input c.json:2:6: not valid JSON");
  REQUIRE(where("{\n\n  \"a\": tru }") == "input c.json:3:11: not valid JSON");
  REQUIRE(where("[1] x") == "input c.json:1:5: not valid JSON");
  REQUIRE(where("[\"\xff\"]") == "input c.json:1:3: not valid JSON");
  REQUIRE(where("[1e999]") == "input c.json:1:6: not valid JSON");
  REQUIRE(where("[NaN]") == "input c.json:1:2: not valid JSON");
}

TEST_CASE("a repeated key is an error") {
  REQUIRE(failure([] { (void)parse_json(R"({"a": {"b": 1, "c": 2, "b": 3}})", "c.json"); }) ==
          "input c.json: not valid JSON: the key 'b' occurs twice");
}

TEST_CASE("deep JSON is an error, not a crash") {
  const auto nested = [](size_t depth, bool closed) {
    return std::string(depth, '[') + (closed ? std::string(depth, ']') : "");
  };
  REQUIRE(failure([&] { (void)parse_json(nested(1000, true), "f"); }) == "nothing thrown");
  REQUIRE(failure([&] { (void)parse_json(nested(1001, true), "f"); }) ==
          "input f: not valid JSON: nested deeper than 1000 levels");
  REQUIRE(failure([&] { (void)parse_json(nested(3'000'000, false), "f"); }) ==
          "input f: not valid JSON: nested deeper than 1000 levels");
  // Brackets inside of strings are text.
  REQUIRE(parse_json("[\"" + nested(2000, false) + "\"]", "f")[0].get<std::string>().size() ==
          2000);
}

TEST_CASE("more values than any file has are an error") {
  std::string text = "[";
  for (int i = 1; i < 1 << 23; ++i) text += "0,";  // with the array itself as many as may be
  text.back() = ']';
  CHECK(parse_json(text, "f").size() == (1 << 23) - 1);
  text.back() = ',';
  CHECK(failure([&] { (void)parse_json(text + "[]]", "f"); }) ==
        "input f: not valid JSON: more than 8388608 values");
}

TEST_CASE("every cut and every flipped byte of a document gives a value or an input error") {
  const std::string good = R"({"a": [1, 2.5e3, "\u00e9\n"], "b": {"c": null, "d": false}})";
  for (size_t i = 0; i < good.size(); ++i) {
    const auto cut = failure([&] { (void)parse_json(good.substr(0, i), "f"); });
    REQUIRE(cut.substr(0, 8) == "input f:");
    for (int bit = 0; bit < 8; ++bit) {
      auto bad = good;
      bad[i] = static_cast<char>(bad[i] ^ (1 << bit));
      const auto flipped = failure([&] { (void)parse_json(bad, "f"); });
      REQUIRE((flipped == "nothing thrown" || flipped.substr(0, 8) == "input f:"));
    }
  }
}

TEST_CASE("an object of a million keys takes no quadratic time") {
  // A linear search would take 10^12 comparisons and ctest's time limit end it.
  constexpr int count = 1'000'000;
  std::string text = "{";
  for (int i = 0; i < count; ++i)
    text += (i > 0 ? ",\"token" : "\"token") + std::to_string(i) + "\":" + std::to_string(i);
  text += "}";
  const auto json = parse_json(text, "f");
  REQUIRE(json.size() == count);
  int next = 0;
  for (const auto& [key, value] : json.items()) {
    if (key != "token" + std::to_string(next) || value != next) break;
    ++next;
  }
  REQUIRE(next == count);
  text.back() = ',';
  REQUIRE(failure([&] { (void)parse_json(text + "\"token500000\":0}", "f"); }) ==
          "input f: not valid JSON: the key 'token500000' occurs twice");
}

TEST_CASE("read_json reads a file and names it in errors") {
  const std::string file = "json_test.tmp.json";
  std::ofstream(file) << "{\"a\": [1, 2]\n]";
  REQUIRE(failure([&] { (void)base::read_json(file); }) ==
          "input json_test.tmp.json:2:1: not valid JSON");
  std::ofstream(file) << "{\"a\": [1, 2]}";
  REQUIRE(base::read_json(file)["a"].size() == 2);
  std::filesystem::remove(file);
  REQUIRE(failure([&] { (void)base::read_json(file); }) ==
          "input json_test.tmp.json: can't be read: No such file or directory");
}

TEST_CASE("NaN and Infinity, which Python writes into files, are texts") {
  const std::string file = "json_test.nan.json";
  std::ofstream(file) << R"({"a": NaN, "b": [-Infinity, Infinity], "c": "NaN \"NaN", "d": 1})";
  const auto json = base::read_json(file);
  std::filesystem::remove(file);
  REQUIRE(json["a"] == "NaN");
  REQUIRE(json["b"] == Json({"-Infinity", "Infinity"}));
  REQUIRE(json["c"] == "NaN \"NaN");
  REQUIRE(json["d"] == 1);
}
