// The plan as JSON: complete, and the same after writing and reading.
#include "placement/explain/json.hpp"
#include "catch.hpp"
#include "placement/golden.hpp"
#include "placement/totals.hpp"

using namespace ktx;
using namespace ktx::placement;

TEST_CASE("JSON reads back as it was written") {
  const auto json = to_json(sample::rich_plan());
  CHECK(base::parse_json(base::dump_json(json), "plan") == json);
  CHECK(base::parse_json(base::dump_json(json, 2), "plan") == json);
}

TEST_CASE("JSON tells what the plan holds") {
  const auto plan = sample::rich_plan();
  const auto json = to_json(plan);
  CHECK(json["rules_file"] == "r.yaml");
  CHECK(json["machine"]["isa"] == "avx512");
  CHECK(json["machine"]["read_bandwidth"] == 20e9);
  CHECK(json["model"]["architecture"] == "deepseek_v3");
  REQUIRE(json["modules"].size() == plan.modules.size());
  CHECK(json["rules"].size() == 3);
  CHECK(json["unused"][0]["path"] == "model.layers.6");
  CHECK(json["totals"]["weight_bytes"] == plan.weight_bytes());
  CHECK(json["totals"]["cache_bytes"] == plan.cache_bytes());
  CHECK(json["totals"]["experts_per_token"][1]["per_token"] == 6);
  CHECK(json["totals"]["experts_per_token"][1]["layers"] == "2");
  CHECK(json["totals"]["predicted_decode_tokens_per_second"] == plan.predicted_decode);
  for (size_t i = 0; i < plan.modules.size(); ++i) {
    const auto& planned = plan.modules[i];
    const auto& entry = json["modules"][i];
    CHECK(entry["path"] == plan.model.modules[static_cast<size_t>(planned.module)].path);
    CHECK(entry["decode"]["kernel"] == planned.decode.name);
    CHECK(entry["prefill"]["skipped"].size() == planned.prefill.skipped.size());
    CHECK(entry["rule"]["where"] == planned.rule_where);
    CHECK(entry["bytes"] == planned.bytes);
    CHECK(entry["weights"].size() == planned.weights.size());
  }
}

TEST_CASE("the JSON of a plan is the golden file's") {
  const auto text = base::dump_json(to_json(sample::plain_plan(2)), 1) + "\n";
  CHECK(text == sample::golden("plain.json", text));
}

TEST_CASE("JSON tells of GPUs") {
  const auto plan = sample::gpu_plan();
  const auto json = to_json(plan);
  REQUIRE(json["totals"]["devices"].size() == 3);
  CHECK(json["totals"]["devices"][1]["device"] == "cuda:0");
  CHECK(json["totals"]["devices"][1]["most_bytes"] == plan.devices[1].most());
  REQUIRE(plan.predicted_prefill.size() == 2);
  CHECK(json["totals"]["predicted_prefill"][1]["tokens"] == 2048);
  CHECK(json["totals"]["predicted_prefill"][1]["tokens_per_second"] ==
        plan.predicted_prefill[1].rate);
  CHECK(json["machine"]["gpus"][0]["copy_bandwidth"] == 25e9);
  size_t residents = 0;
  for (size_t i = 0; i < plan.modules.size(); ++i) {
    const auto& planned = plan.modules[i];
    const auto& entry = json["modules"][i];
    CHECK(entry["prefill_device"] == planned.prefill_device);
    CHECK(entry["stream"] == planned.stream);
    CHECK(entry["prefill_weights"].size() == planned.prefill_weights.size());
    CHECK(entry["residents"].is_null() == planned.residents.experts.empty());
    CHECK(entry["numa"].is_null() == (planned.device != "cpu"));
    if (!planned.stream) continue;
    CHECK(entry["stream_share"] == planned.stream_share);
    if (planned.residents.experts.empty()) continue;
    CHECK(entry["residents"]["experts"] == planned.residents.experts);
    CHECK(entry["residents"]["bytes"] == planned.residents.bytes);
    ++residents;
  }
  CHECK(residents == 2);
}

TEST_CASE("unknown figures are null") {
  const auto json = to_json(sample::plain_plan());
  CHECK(json["machine"]["read_bandwidth"].is_null());
  CHECK(json["totals"]["predicted_decode_tokens_per_second"].is_null());
}
