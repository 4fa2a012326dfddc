// The course of a step as lanes.
#include "placement/explain/timeline.hpp"

#include <algorithm>
#include <map>

#include "catch.hpp"
#include "placement/golden.hpp"

using namespace ktx::placement;

TEST_CASE("each lane does one thing at a time, within the step") {
  const auto plan = sample::gpu_plan();
  for (const bool prefill : {false, true}) {
    const auto step = prefill ? prefill_step(plan) : decode_step(plan);
    const auto timeline = timeline_of(plan, step, prefill);
    REQUIRE(timeline.seconds == step.seconds);
    std::map<size_t, double> end;  // by lane
    for (const auto& span : timeline.spans) {
      REQUIRE(span.lane < timeline.lanes.size());
      CHECK(span.seconds > 0);
      CHECK(span.begin + span.seconds <= timeline.seconds * (1 + 1e-9));
      CHECK(span.begin >= end[span.lane] * (1 - 1e-9));
      end[span.lane] = span.begin + span.seconds;
    }
    CHECK(end.size() == timeline.lanes.size());  // no lane is idle
  }
}

TEST_CASE("shared experts of a GPU run while the CPU runs routed ones") {
  const auto plan = sample::gpu_plan();
  const auto step = decode_step(plan);
  std::map<std::string, double> begin;
  for (size_t i = 0; i < plan.modules.size(); ++i)
    begin[plan.model.modules[static_cast<size_t>(plan.modules[i].module)].path] =
        step.modules[i].begin;
  CHECK(begin.at("model.layers.2.mlp.experts") ==
        begin.at("model.layers.2.mlp.shared_experts.gate_proj"));
  CHECK(begin.at("model.layers.2.mlp.shared_experts.up_proj") >
        begin.at("model.layers.2.mlp.shared_experts.gate_proj"));
  CHECK(begin.at("model.layers.2.mlp.experts") > begin.at("model.layers.2.mlp.gate"));
}

TEST_CASE("lanes are the devices that work, and what is copied to them") {
  const auto plan = sample::gpu_plan();
  CHECK(timeline_of(plan, decode_step(plan), false).lanes ==
        std::vector<std::string>{"cpu", "cuda:0", "cuda:1"});
  CHECK(
      timeline_of(plan, prefill_step(plan), true).lanes ==
      std::vector<std::string>{"cpu", "cuda:0", "cuda:1", "copies to cuda:0", "copies to cuda:1"});
}

TEST_CASE("nothing is drawn where speeds are not known") {
  const auto plan = sample::plain_plan();
  CHECK(timeline_of(plan, decode_step(plan), false).spans.empty());
  CHECK(timeline_of(plan, prefill_step(plan), true).seconds == 0);
}
