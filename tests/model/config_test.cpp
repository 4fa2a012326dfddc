// Reading of hyper-parameters and the messages about wrong ones.
#include "model/config.hpp"

#include "catch.hpp"
#include "fake.hpp"

using namespace ktx;
using namespace ktx::model;
using test::error_of;

namespace {

const Key hidden{"hidden_size", "embedding_length"};
const Key experts{"num_experts", "expert_count", "num_local_experts"};

Json json(const char* text) {
  return base::parse_json(text, "test");
}

}  // namespace

TEST_CASE("a key is read under its name in either naming") {
  const Json hf = json(R"({"hidden_size": 64, "num_local_experts": 8})");
  const Json gguf = json(R"({"arch.embedding_length": 128, "arch.expert_count": 4})");
  const Config a(Naming::hugging_face, hf, "config.json");
  const Config b(Naming::gguf, gguf, "x.gguf", "arch.");
  CHECK(a.count(hidden) == 64);
  CHECK(b.count(hidden) == 128);
  CHECK(a.count(experts) == 8);
  CHECK(a.spelled(experts) == "num_local_experts");
  CHECK(b.spelled(experts) == "arch.expert_count");
  CHECK_FALSE(b.has({"only_hf", {}}));
}

TEST_CASE("null counts as absent, numbers may be written as reals") {
  const Json object = json(R"({"a": null, "b": 4.0, "c": 1e-6, "d": [1, 2], "e": true})");
  const Config c(Naming::hugging_face, object, "config.json");
  CHECK(c.count_or({"a", {}}, 7) == 7);
  CHECK(c.count({"b", {}}) == 4);
  CHECK(c.number({"c", {}}) == Approx(1e-6));
  CHECK(c.layers_or_empty({"d", {}}) == std::set<int>{1, 2});
  CHECK(c.layers_or_empty({"a", {}}).empty());
  CHECK(c.flag_or({"e", {}}, false));
  CHECK(c.text_or({"a", {}}, "x") == "x");
}

TEST_CASE("messages name file, key, what was expected and found") {
  const Json object = json(R"({"hidden_siz": 1, "hidden_size": "big", "z": 0, "h": 1048577,
      "f": 1.5, "n": -3, "u": 18446744073709551615, "o": {}, "y": "yes"})");
  const Config c(Naming::hugging_face, object, "config.json");
  const auto count = [&](const char* key) { return error_of([&] { c.count({key, {}}); }); };
  CHECK(count("hidden_size") ==
        "config.json: 'hidden_size' must be a whole number from 1 to 1048576, found \"big\"");
  CHECK(count("hidden_sizes") ==
        "config.json: 'hidden_sizes' is missing\n"
        "  note: nearest keys in the file: hidden_size, hidden_siz");
  const std::string range = " must be a whole number from 1 to 1048576, found ";
  CHECK(count("z") == "config.json: 'z'" + range + "0");
  CHECK(count("h") == "config.json: 'h'" + range + "1048577");
  CHECK(count("f") == "config.json: 'f'" + range + "1.5");
  CHECK(count("n") == "config.json: 'n'" + range + "-3");
  CHECK(error_of([&] {
          c.count({"h", {}}, {.most = 9});
        }) == "config.json: 'h' must be a whole number from 1 to 9, found 1048577");
  CHECK(c.count({"h", {}}, {.most = 1 << 21}) == 1048577);
  CHECK(count("u") == "config.json: 'u'" + range + "18446744073709551615");
  CHECK(count("o") == "config.json: 'o'" + range + "an object");
  CHECK(error_of([&] {
          c.number({"n", {}});
        }) == "config.json: 'n' must be a number above 0, found -3");
  CHECK(error_of([&] {
          c.flag_or({"y", {}}, true);
        }) == "config.json: 'y' must be true or false, found \"yes\"");
  CHECK(error_of([&] { c.text_or({"z", {}}, ""); }) == "config.json: 'z' must be a text, found 0");
  CHECK(error_of([&] {
          c.layers_or_empty({"z", {}});
        }) == "config.json: 'z' must be a list of whole numbers, found 0");
  CHECK(error_of([&] { c.section("z"); }) == "config.json: 'z' must be an object, found 0");
  const Json list = json("[1]");
  CHECK(error_of([&] { Config(Naming::hugging_face, list, "config.json"); }) ==
        "config.json: the configuration must be an object, found an array");
}

TEST_CASE("a section names itself in messages") {
  const Json object = json(R"({"rope": {"factor": 0}})");
  const Config c(Naming::hugging_face, object, "config.json");
  CHECK(error_of([&] {
          c.section("rope").number({"factor", {}});
        }) == "config.json: rope: 'factor' must be a number above 0, found 0");
  CHECK_FALSE(c.section("none").has({"factor", {}}));
}
