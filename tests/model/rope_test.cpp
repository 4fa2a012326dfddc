// Rotary frequencies against numbers computed by an independent Python program.
#include "model/rope.hpp"

#include <cmath>
#include <utility>
#include <vector>

#include "catch.hpp"
#include "fake.hpp"

using namespace ktx;
using namespace ktx::model;
using test::error_of;

namespace {

RopeScaling read(const char* text, int64_t context = 4096) {
  const Json object = base::parse_json(text, "test");
  return read_rope(Config(Naming::hugging_face, object, "config.json"), context);
}

RopeScaling read_gguf(const char* text, int64_t context = 4096) {
  const Json object = base::parse_json(text, "test");
  return read_rope(Config(Naming::gguf, object, "x.gguf", "a."), context);
}

void check(const graph::Rope& rope, const std::vector<std::pair<size_t, double>>& expected) {
  for (const auto& [pair, frequency] : expected) {
    INFO("pair " << pair);
    REQUIRE(pair < rope.frequency.size());
    CHECK(rope.frequency[pair] == Approx(frequency).epsilon(1e-6));
  }
}

constexpr const char* deepseek_v3 = R"({"rope_theta": 10000, "rope_scaling": {"type": "yarn",
    "factor": 40, "original_max_position_embeddings": 4096, "beta_fast": 32, "beta_slow": 1,
    "mscale": 1.0, "mscale_all_dim": 1.0}})";

}  // namespace

TEST_CASE("plain rotation") {
  const RopeScaling s = read(R"({"rope_theta": 500000.0, "rope_scaling": null})");
  CHECK(s.theta == 500000);
  const graph::Rope rope = make_rope(s, 32, true);
  CHECK(rope.frequency.size() == 16);
  CHECK(rope.interleaved);
  CHECK(rope.magnitude == 1);
  check(rope, {{0, 1}, {8, 1 / std::sqrt(500000.0)}});
  CHECK(attention_factor(s) == 1);
}

TEST_CASE("yarn of DeepSeek-V3") {
  const RopeScaling s = read(deepseek_v3);
  const graph::Rope rope = make_rope(s, 64, true);
  check(rope, {{0, 1},
               {1, 0.749894209},
               {9, 0.0749894209},
               {10, 0.0562341325},
               {11, 0.0390069266},
               {15, 0.00833450895},
               {22, 0.000177827941},
               {23, 3.33380358e-05},
               {24, 2.5e-05},
               {31, 3.33380358e-06}});
  CHECK(rope.magnitude == 1);
  CHECK(attention_factor(s) / std::sqrt(192.0) == Approx(0.135233779).epsilon(1e-8));
}

TEST_CASE("yarn with other numbers") {
  // Kimi-K2: the ramp is one dimension wide.
  check(make_rope(read(R"({"rope_theta": 50000.0, "rope_scaling": {"type": "yarn", "factor": 32.0,
      "original_max_position_embeddings": 4096, "beta_fast": 1.0, "beta_slow": 1.0,
      "mscale": 1.0, "mscale_all_dim": 1.0}})"),
                  64, true),
        {{0, 1},
         {14, 0.00879428677},
         {18, 0.00227420376},
         {19, 0.00162175991},
         {20, 3.61404677e-05},
         {31, 8.76441291e-07}});
  // Ends of the ramp that are not rounded, and no mscale: the magnitude is 0.1 ln factor + 1.
  const graph::Rope rope =
      make_rope(read(R"({"rope_parameters": {"rope_theta": 1000000.0, "rope_type": "yarn",
      "factor": 4.0, "original_max_position_embeddings": 32768, "truncate": false}})"),
                128, false);
  check(rope, {{0, 1},
               {20, 0.0133352143},
               {24, 0.00551727048},
               {30, 0.00107923774},
               {40, 4.44569853e-05},
               {63, 3.1023444e-07}});
  CHECK(rope.magnitude == Approx(1.13862944));
}

TEST_CASE("yarn's ramp may end beyond the last pair") {
  // From pair 22 to 35 of 32: the last pair is not stretched in full.
  check(make_rope(read(R"({"rope_theta": 10000, "rope_scaling": {"type": "yarn", "factor": 40,
      "original_max_position_embeddings": 131072}})"),
                  64, true),
        {{0, 1},
         {22, 0.00177827941},
         {23, 0.00123350732},
         {28, 0.000173925271},
         {30, 7.11311764e-05},
         {31, 4.33394465e-05}});
}

TEST_CASE("yarn's magnitude and attention scale") {
  RopeScaling s = read(deepseek_v3);
  s.mscale = 0.707;
  CHECK(make_rope(s, 64, true).magnitude == Approx(0.921042355));
  s.mscale_all_dim = 0.707;
  CHECK(make_rope(s, 64, true).magnitude == 1);
  CHECK(attention_factor(s) == Approx(1.58962617));
  s.attention_factor = 1.5;
  CHECK(make_rope(s, 64, true).magnitude == 1.5f);
  s.mscale = s.mscale_all_dim = 0;
  CHECK(attention_factor(s) == 1);
}

TEST_CASE(
    "mscale_all_dim without mscale scales attention, and cos and sin as if it were not given") {
  const RopeScaling s = read(R"({"rope_scaling": {"type": "yarn", "factor": 40,
      "original_max_position_embeddings": 4096, "mscale_all_dim": 1.0}})");
  CHECK(make_rope(s, 64, true).magnitude == Approx(1.36888794));  // 1 + 0.1 ln 40
  CHECK(attention_factor(s) == Approx(1.87385420));               // its square
  const RopeScaling other = read(R"({"rope_scaling": {"type": "yarn", "factor": 40,
      "original_max_position_embeddings": 4096, "mscale": 1.0}})");
  CHECK(make_rope(other, 64, true).magnitude == Approx(1.36888794));
  CHECK(attention_factor(other) == 1);
}

TEST_CASE("llama3 scaling") {
  check(make_rope(read(R"({"rope_theta": 500000.0, "rope_scaling": {"rope_type": "llama3",
      "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
      "original_max_position_embeddings": 8192}})"),
                  128, false),
        {{0, 1},
         {28, 0.00321144599},
         {29, 0.00216657076},
         {30, 0.00137189357},
         {34, 0.000178507813},
         {36, 7.78465527e-05},
         {63, 3.06892599e-07}});
}

TEST_CASE("linear scaling divides every frequency") {
  const RopeScaling s = read(R"({"rope_scaling": {"type": "linear", "factor": 4}})");
  check(make_rope(s, 4, false), {{0, 0.25}, {1, 0.0025}});
}

TEST_CASE("old and new spelling read the same") {
  const RopeScaling a = read(deepseek_v3);
  const RopeScaling b = read(R"({"rope_parameters": {"rope_theta": 10000.0, "rope_type": "yarn",
      "type": "yarn", "factor": 40.0, "original_max_position_embeddings": 4096, "mscale": 1.0,
      "mscale_all_dim": 1.0}})");
  CHECK(make_rope(a, 64, true).frequency == make_rope(b, 64, true).frequency);
  CHECK(attention_factor(a) == attention_factor(b));
}

TEST_CASE("what yarn leaves out comes from the context") {
  const RopeScaling s =
      read(R"({"rope_scaling": {"type": "yarn", "original_max_position_embeddings": 1024}})", 8192);
  CHECK(s.factor == 8);
  CHECK(read(R"({"rope_scaling": {"type": "yarn", "factor": 2}})", 8192).original_context == 8192);
}

TEST_CASE("GGUF keys") {
  const RopeScaling s = read_gguf(R"({"a.rope.freq_base": 10000.0, "a.rope.scaling.type": "yarn",
      "a.rope.scaling.factor": 40.0, "a.rope.scaling.original_context_length": 4096,
      "a.rope.scaling.yarn_log_multiplier": 0.1})");
  CHECK(make_rope(s, 64, true).frequency == make_rope(read(deepseek_v3), 64, true).frequency);
  CHECK(make_rope(s, 64, true).magnitude == 1);
  CHECK(attention_factor(s) == Approx(attention_factor(read(deepseek_v3))));
  CHECK(read_gguf(R"({"a.rope.scaling.type": "none"})").kind == RopeKind::plain);
  CHECK(read_gguf(R"({"a.rope.scale_linear": 2.0})").factor == 2);
}

TEST_CASE("wrong rotations") {
  CHECK(error_of([] { read(R"({"rope_scaling": {"type": "yarm", "factor": 2}})"); }) ==
        "config.json: rope_scaling: 'type' names an unknown scaling 'yarm'\n"
        "  note: did you mean 'yarn'?\n"
        "  note: valid scalings: default, none, linear, yarn, llama3");
  CHECK(error_of([] { read(R"({"rope_scaling": {"type": "linear"}})"); }) ==
        "config.json: rope_scaling: 'factor' is missing");
  CHECK(error_of([] { read(R"({"rope_scaling": []})"); }) ==
        "config.json: 'rope_scaling' must be an object, found an array");
  CHECK(error_of([] { read(R"({"rope_theta": 1})"); }) ==
        "config.json: 'rope_theta' must be a number above 1, found 1");
  CHECK(error_of([] { read(R"({"partial_rotary_factor": 0.5})"); }) ==
        "config.json: 'partial_rotary_factor' must be 1: no architecture here rotates parts of a "
        "head");
}
