// Spans made by hand: what is folded, what counts as work, and what a trace says.
#include "engine/profile_report.hpp"

#include "catch.hpp"
#include "core/base/json.hpp"

using namespace ktx;

namespace {

constexpr int cpu = 0, gpu = 1, copies = 2;

/// A dense and two moe layers on a GPU, experts on the CPU: seconds by hand.
StepProfile step() {
  using enum SpanKind;
  StepProfile step{.name = "decode",
                   .rows = 1,
                   .seconds = 20,
                   .lanes = {"cpu", "cuda:0", "cuda:0 copies"},
                   .layers = {"dense", "moe", "moe"}};
  step.spans = {
      {"embedding", gpu, -1, compute, 1, 2},  // before: nothing
      {"mla", gpu, 0, compute, 2, 4},         // no gap
      {"mla", gpu, 1, compute, 4, 5},
      {"copy to cuda:0", gpu, 1, wait, 5, 9},
      {"receive", cpu, 1, wait, 0, 6},  // polls while the GPU works
      {"moe", cpu, 1, compute, 6, 8},   // 5 to 6 and 8 to 9: nobody
      {"add", gpu, 1, compute, 9, 10},
      {"mla", gpu, 2, compute, 10, 13},
      {"wait for experts", gpu, 2, wait, 13, 17},
      {"experts", copies, 2, copy, 12, 14},    // 1 s of it beside mla
      {"experts", gpu, 2, compute, 14, 15},    // inside the wait
      {"experts", gpu, 2, compute, 14.5, 16},  // counted once
      {"moe", cpu, 2, compute, 13, 15},
      {"linear lm_head", gpu, 3, compute, 17, 19},
      {"launch", cpu, -1, submit, 0, 1},
  };
  return step;
}

double seconds_of(const engine::LaneTimes::Names& names, const std::string& name) {
  for (const auto& [known, seconds] : names)
    if (known == name) return seconds;
  return -1;
}

}  // namespace

TEST_CASE("idle is when nothing computes or copies, whoever waits or submits") {
  // 0 to 1, 5 to 6, 8 to 9, 16 to 17, 19 to 20.
  CHECK(idle_seconds(step()) == Approx(5));
  StepProfile nothing{.name = "decode", .seconds = 2, .lanes = {"cpu"}};
  CHECK(idle_seconds(nothing) == Approx(2));
}

TEST_CASE("layers that are alike are one column, and columns add up to the step") {
  const auto columns = engine::profile_columns(step());
  REQUIRE(columns.size() == 4);
  CHECK(columns[0].name == "start");
  CHECK(columns[1].name == "dense");
  CHECK(columns[2].name == "moe");
  CHECK(columns[3].name == "logits");
  CHECK(columns[2].layers == 2);
  CHECK(columns[0].seconds == Approx(2));
  CHECK(columns[1].seconds == Approx(2));
  CHECK(columns[2].seconds == Approx(6 + 6));  // cut where the last product ends: at 10 and 16
  CHECK(columns[3].seconds == Approx(4));
  CHECK(columns[0].idle == Approx(1));
  CHECK(columns[1].idle == Approx(0));
  CHECK(columns[2].idle == Approx(2));
  CHECK(columns[3].idle == Approx(2));
  const auto& on_gpu = columns[2].lanes[gpu];
  CHECK(on_gpu.busy == Approx(1 + 1 + 3 + 2));  // overlapping spans count once
  CHECK(on_gpu.commands == 7);
  CHECK(seconds_of(on_gpu.compute, "mla") == Approx(4));
  CHECK(seconds_of(on_gpu.compute, "experts") == Approx(2.5));
  CHECK(seconds_of(on_gpu.compute, "wait for experts") == -1);
  CHECK(columns[2].lanes[cpu].busy == Approx(4));
  CHECK(seconds_of(columns[2].lanes[copies].copy, "experts") == Approx(2));
  CHECK(seconds_of(columns[0].lanes[cpu].submit, "launch") == Approx(1));
}

TEST_CASE("layers of one kind on different lanes have a column each") {
  auto spread = step();
  spread.lanes.push_back("cuda:1");
  for (Span& span : spread.spans)
    if (span.layer == 2 && span.lane == gpu) span.lane = 3;
  const auto columns = engine::profile_columns(spread);
  REQUIRE(columns.size() == 5);
  CHECK(columns[2].name == "moe (cpu, cuda:0)");
  CHECK(columns[3].name == "moe (cpu, cuda:1)");
  CHECK(columns[3].layers == 1);
}

TEST_CASE("a table gives microseconds a layer") {
  const auto text = profile_table(step());
  CHECK(text.find("neither works: 25.0 %") != std::string::npos);
  CHECK(text.find("| dense | moe × 2 | logits |") != std::string::npos);
  CHECK(
      text.find("| neither works | 1000000.0 | 0.0 | 1000000.0 | 2000000.0 | 5000000 | 25.0 % |") !=
      std::string::npos);
  CHECK(text.find("**cuda:0 copies copies**") != std::string::npos);
}

TEST_CASE("a trace is a JSON array of complete events, a thread for each lane") {
  const auto json = base::parse_json(chrome_trace({.prefill = step(), .decode = step()}), "trace");
  REQUIRE(json.is_array());
  size_t events = 0, names = 0;
  for (const auto& event : json) {
    if (event.at("ph") == "M") {
      ++names;
      continue;
    }
    ++events;
    CHECK(event.at("ph") == "X");
    CHECK(event.at("dur").get<double>() >= 0);
    CHECK(event.at("tid").get<int>() < 3);
  }
  CHECK(events == 2 * step().spans.size());
  CHECK(names == 2 * (1 + 3));
  const auto& first = json.at(4);
  CHECK(first.at("name") == "embedding");
  CHECK(first.at("cat") == "compute");
  CHECK(first.at("ts").get<double>() == Approx(1e6));
  CHECK(first.at("dur").get<double>() == Approx(1e6));
  CHECK(first.at("args").at("layer") == -1);
}
