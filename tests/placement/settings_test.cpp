// Settings: who decides, and who is told so.
#include "placement/settings.hpp"

#include <map>

#include "catch.hpp"
#include "sample.hpp"

using namespace ktx;
using namespace ktx::placement;
using sample::error_of;

namespace {

const std::string all = "rules:\n  - {name: all, match: {name: '.*'}, place: {}}\n";

Plan plan_of(const std::string& lines, const PlanOptions& options = {}, int64_t trained = 0) {
  auto model = sample::deepseek();
  model.info.context = trained;
  return make_plan(sample::rules("ktx: 1\n" + lines + all), std::move(model), sample::machine(),
                   options);
}

std::string error_with(const std::string& lines, const PlanOptions& options = {}) {
  return error_of([&] { plan_of(lines, options); });
}

// name -> "value from"
std::map<std::string, std::string> settings(const Plan& plan) {
  std::map<std::string, std::string> out;
  for (const auto& [name, value, from] : plan.settings) out[name] = value + " " + from;
  return out;
}

const char* file = R"(model: {path: models/v3.gguf}
context: 100
sessions: 3
cache: {format: fp8}
threads: 2
decode_threads: 1
prefill_chunk: 64
weights_cache: /var/cache/ktx
tokenizer: ../tokenizer
deterministic: true
)";

}  // namespace

TEST_CASE("what nobody gives is the checkpoint's or a default") {
  const auto plan = plan_of("");
  CHECK(plan.cache_length == 4096);
  CHECK(plan.sessions == 1);
  CHECK(plan.cache_format == graph::KvFormat::bf16);
  CHECK(plan.threads == 2);  // the sample machine's cores
  CHECK(plan.node_threads == std::vector<int>{2});
  CHECK(plan.prefill_chunk == 2048);
  CHECK(plan.weights_cache.empty());
  CHECK(plan.tokenizer.empty());
  CHECK_FALSE(plan.deterministic);
  for (auto& [name, text] : settings(plan)) {
    INFO(name);
    CHECK(text.ends_with(name == "experts_per_token" ? " checkpoint" : " default"));
  }
  const auto trained_short = plan_of("", {}, 512), trained_long = plan_of("", {}, 163840);
  CHECK(settings(trained_short)["context"] == "512 checkpoint");
  CHECK(settings(trained_long)["context"] == "4096 default");
}

TEST_CASE("a rules file alone decides all settings, and the plan names its lines") {
  const auto plan = plan_of(file);
  CHECK(plan.cache_length == 100);
  CHECK(plan.sessions == 3);
  CHECK(plan.cache_pages == 6);
  CHECK(plan.cache_format == graph::KvFormat::fp8);
  CHECK(plan.threads == 2);
  CHECK(plan.decode_threads == 1);
  CHECK(plan.prefill_chunk == 64);
  CHECK(plan.weights_cache == "/var/cache/ktx");
  CHECK(plan.tokenizer == "../tokenizer");
  CHECK(plan.deterministic);
  auto told = settings(plan);
  CHECK(told["model"] == "models/v3.gguf r.yaml:2");
  CHECK(told["context"] == "100 r.yaml:3");
  CHECK(told["sessions"] == "3 r.yaml:4");
  CHECK(told["cache.format"] == "fp8 r.yaml:5");
  CHECK(told["threads"] == "2 r.yaml:6");
  CHECK(told["decode_threads"] == "1 r.yaml:7");
  CHECK(told["prefill_chunk"] == "64 r.yaml:8");
  CHECK(told["weights_cache"] == "/var/cache/ktx r.yaml:9");
  CHECK(told["tokenizer"] == "../tokenizer r.yaml:10");
  CHECK(told["deterministic"] == "true r.yaml:11");
}

TEST_CASE("an option stands above the rules file") {
  const auto plan = plan_of(file, {.threads = 3,
                                   .decode_threads = 2,
                                   .cache_length = 200,
                                   .prefill_chunk = 32,
                                   .sessions = 2,
                                   .cache_format = graph::KvFormat::f32,
                                   .deterministic = false,
                                   .model = "other.gguf",
                                   .tokenizer = "tok",
                                   .weights_cache = "packed"});
  CHECK(plan.cache_length == 200);
  CHECK(plan.cache_format == graph::KvFormat::f32);
  CHECK_FALSE(plan.deterministic);
  auto told = settings(plan);
  CHECK(told["model"] == "other.gguf --model");
  CHECK(told["context"] == "200 --context");
  CHECK(told["sessions"] == "2 --sessions");
  CHECK(told["cache.format"] == "f32 --cache-format");
  CHECK(told["threads"] == "3 --threads");
  CHECK(told["decode_threads"] == "2 --decode-threads");
  CHECK(told["prefill_chunk"] == "32 --prefill-chunk");
  CHECK(told["weights_cache"] == "packed --cache");
  CHECK(told["tokenizer"] == "tok --tokenizer");
  CHECK(told["deterministic"] == "false --deterministic");
}

TEST_CASE("who gives threads gives them to decoding, else loading measures how many it gets") {
  const auto decoding = [](const std::string& lines, const PlanOptions& options = {}) {
    const auto plan = plan_of(lines, options);
    return std::to_string(plan.decode_threads) + ": " + settings(plan)["decode_threads"];
  };
  CHECK(decoding("") == "0: measured while loading default");
  CHECK(decoding("threads: 5\n") == "5: 5 threads");
  CHECK(decoding("", {.threads = 5}) == "5: 5 threads");
  CHECK(decoding("decode_threads: 2\n") == "2: 2 r.yaml:2");
  CHECK(decoding("decode_threads: 3\n", {.threads = 5}) == "3: 3 r.yaml:2");
  CHECK(decoding("threads: 5\n", {.decode_threads = 4}) == "4: 4 --decode-threads");
  CHECK(error_with("threads: 5\ndecode_threads: 6\n") ==
        "r.yaml:3:17: decode_threads: expected 1 to 5, found 6");
}

TEST_CASE("paths of a rules file are relative to it, those of options are not") {
  const auto path = [](const std::string& model, const PlanOptions& options = {}) {
    const auto text = "ktx: 1\nmodel: {path: '" + model + "'}\n" + all;
    return model_path(parse_rules(base::parse_yaml(text, "box/r.yaml"), "box/r.yaml"), options);
  };
  CHECK(path("v3.gguf") == "box/v3.gguf");
  CHECK(path("../models/v3") == "models/v3");
  CHECK(path("/models/v3") == "/models/v3");
  CHECK(path("synth:deepseek-v3,mix=q4_k_m") == "synth:deepseek-v3,mix=q4_k_m");
  CHECK(path("v3.gguf", {.model = "mine.gguf"}) == "mine.gguf");
  const auto none = sample::rules("ktx: 1\n" + all);
  CHECK(error_of([&] { (void)model_path(none, {}); }) ==
        "r.yaml: no model is given\n"
        "  note: name it in the rules file, model: {path: model.gguf}, or with --model");
}

TEST_CASE("settings out of range") {
  CHECK(error_with("context: 0\n") == "r.yaml:2:10: context: expected 1 to 16777216, found 0");
  CHECK(error_with("sessions: 1025\n") == "r.yaml:2:11: sessions: expected 1 to 1024, found 1025");
  CHECK(error_with("threads: -1\n") == "r.yaml:2:10: threads: expected 1 to 4096, found -1");
  CHECK(error_with("prefill_chunk: 65537\n") ==
        "r.yaml:2:16: prefill_chunk: expected 1 to 65535, found 65537");
  CHECK(error_with("", {.threads = 0}) == "threads: expected 1 to 4096, found 0");
  CHECK(error_with("", {.threads = 4097}) == "threads: expected 1 to 4096, found 4097");
  CHECK(error_with("", {.cache_length = 16777217}) ==
        "context: expected 1 to 16777216, found 16777217");
  CHECK(error_with("", {.prefill_chunk = 0}) == "prefill_chunk: expected 1 to 65535, found 0");
  CHECK(error_with("", {.sessions = 0}) == "sessions: expected 1 to 1024, found 0");
}

TEST_CASE("settings that are no values") {
  CHECK(error_with("context: long\n") ==
        "r.yaml:2:10: context: expected a whole number, found 'long'");
  CHECK(error_with("deterministic: 1\n") ==
        "r.yaml:2:16: deterministic: expected true or false, found '1'");
  CHECK(error_with("weights_cache: ''\n") ==
        "r.yaml:2:16: weights_cache: expected a path, found an empty text");
  CHECK(error_with("cache: {format: f16}\n") ==
        "r.yaml:2:17: unknown cache format 'f16'\n  note: did you mean 'bf16'?\n"
        "  note: valid formats: f32, bf16, fp8");
  CHECK(error_with("cache: bf16\n") ==
        "r.yaml:2:8: cache: expected a map, found 'bf16'\n  note: its keys: format");
}
