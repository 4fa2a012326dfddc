// Profiles of the shipped model.
#include "ktx/profile.hpp"

#include <algorithm>
#include <set>
#include <string>

#include "catch.hpp"
#include "core/base/file.hpp"
#include "ktx/error.hpp"
#include "ktx/session.hpp"
#include "support/gpu.hpp"
#include "support/own_file.hpp"
#include "support/reference.hpp"

using namespace ktx;

namespace {

Engine engine_for(const std::filesystem::path& rules) {
  return Engine(make_plan({.model = test::shipped_model,
                           .rules = rules,
                           .threads = 2,
                           .cache_length = 256,
                           .prefill_chunk = 64}));
}

Engine engine_on_cpu() {
  return engine_for(test::source_dir / "optimize_rules/cpu.yaml");
}

/// Routed experts as `experts` says, everything else on the first GPU.
std::filesystem::path hybrid_rules(const std::string& experts) {
  const auto rules = test::own_file("profile_test_hybrid.yaml");
  base::write_file(rules,
                   "ktx: 1\nrules:\n  - {name: experts, match: {class: moe.experts}, " + experts +
                       "}\n  - {name: rest, match: {name: '.*'}, place: {device: 'cuda:0'}}\n");
  return rules;
}

/// Every layer and what stands around them computes, within the step.
void check_spans(const StepProfile& step) {
  INFO(step.name);
  REQUIRE(!step.layers.empty());
  std::set<int> layers;
  for (const Span& span : step.spans) {
    CHECK(!span.name.empty());
    CHECK(span.lane < static_cast<int>(step.lanes.size()));
    CHECK(span.begin <= span.end);
    if (span.kind == SpanKind::compute) layers.insert(span.layer);
  }
  CHECK(layers.size() == step.layers.size() + 2);
  CHECK(*layers.begin() == -1);
  CHECK(*layers.rbegin() == static_cast<int>(step.layers.size()));
  CHECK(step.seconds > 0);
  CHECK(step.unmarked_seconds > 0);
  const double idle = idle_seconds(step);
  CHECK(idle >= 0);
  CHECK(idle < step.seconds);
}

int64_t count(const StepProfile& step, const std::string& name, const std::string& lane) {
  return std::ranges::count_if(step.spans, [&](const Span& span) {
    return span.name == name && step.lanes[static_cast<size_t>(span.lane)] == lane;
  });
}

}  // namespace

TEST_CASE("a profile on the CPU has spans of every layer on one lane") {
  Engine engine = engine_on_cpu();
  const auto report = profile_steps(engine, {.prompt = 100, .depth = 70, .repeat = 2});
  CHECK(report.prefill.name == "prefill");
  CHECK(report.prefill.rows == 64);  // the first slice
  CHECK(report.prefill.past == 0);
  CHECK(report.decode.rows == 1);
  CHECK(report.decode.past == 70);
  for (const auto& step : {report.prefill, report.decode}) {
    check_spans(step);
    CHECK(step.lanes == std::vector<std::string>{"cpu"});
    CHECK(step.layers == std::vector<std::string>{"dense", "moe", "moe", "moe"});
    CHECK(count(step, "mla", "cpu") == 4);
    CHECK(count(step, "moe", "cpu") == 3);
    CHECK(count(step, "linear lm_head", "cpu") == 1);
    // One after another on the CPU.
    for (size_t i = 1; i < step.spans.size(); ++i)
      CHECK(step.spans[i].begin >= step.spans[i - 1].end);
  }
}

TEST_CASE("sessions answer the same after a profile as before") {
  Engine engine = engine_on_cpu();
  const auto answer = [&] {
    Session session(engine);
    const std::vector<int32_t> prompt{1, 2, 3};
    return session.generate(prompt, {.max_new_tokens = 8}).ids;
  };
  const auto before = answer();
  profile_steps(engine, {.prompt = 5, .repeat = 1});
  CHECK(answer() == before);
}

TEST_CASE("a profile that does not fit the cache is refused") {
  Engine engine = engine_on_cpu();
  CHECK_THROWS_AS(profile_steps(engine, {.prompt = 257}), Error);
  CHECK_THROWS_AS(profile_steps(engine, {.prompt = 1, .depth = 256}), Error);
  CHECK_THROWS_AS(profile_steps(engine, {.prompt = 0}), Error);
  CHECK_THROWS_AS(profile_steps(engine, {.prompt = 1, .repeat = 0}), Error);
  Session session(engine);
  session.generate(std::vector<int32_t>(200, 1), {.max_new_tokens = 0});
  CHECK_THROWS_AS(profile_steps(engine, {.prompt = 250}), Error);  // its pages are taken
}

TEST_CASE("a profile of a hybrid plan has spans of CPU and GPU") {
  if (!test::have_gpu()) SKIP(test::no_gpu);
  Engine engine = engine_for(hybrid_rules("place: {device: cpu}"));
  const auto report = profile_steps(engine, {.prompt = 64, .depth = 70, .repeat = 2});
  for (const auto& step : {report.prefill, report.decode}) {
    check_spans(step);
    CHECK(step.lanes == std::vector<std::string>{"cpu", "cuda:0"});
    CHECK(count(step, "mla", "cuda:0") == 4);
    CHECK(count(step, "moe", "cpu") == 3);
    CHECK(count(step, "receive", "cpu") == 4);  // experts' inputs, and the logits
  }
  // In a recorded step the GPU spins until the CPU answers.
  const auto waits = std::ranges::count_if(report.decode.spans, [&](const Span& span) {
    return span.kind == SpanKind::wait && report.decode.lanes[size_t(span.lane)] == "cuda:0";
  });
  CHECK(waits == 3);
}

TEST_CASE(
    "a profile of streamed experts has their products within the time that they are waited for") {
  if (!test::have_gpu()) SKIP(test::no_gpu);
  Engine engine =
      engine_for(hybrid_rules("place: {device: cpu}, prefill: {device: 'cuda:0', stream: yes}"));
  const auto step = profile_steps(engine, {.prompt = 64, .repeat = 2}).prefill;
  check_spans(step);
  CHECK(count(step, "moe", "cpu") == 3);
  CHECK(count(step, "wait for experts", "cuda:0") == 3);
  CHECK(count(step, "experts", "cuda:0") >= 3);
  for (const Span& inner : step.spans) {
    if (inner.name != "experts" || inner.kind != SpanKind::compute) continue;
    CHECK(std::ranges::any_of(step.spans, [&](const Span& outer) {
      return outer.name == "wait for experts" && outer.layer == inner.layer &&
             outer.begin <= inner.begin && inner.end <= outer.end;
    }));
  }
}
