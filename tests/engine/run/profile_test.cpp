// What a profile keeps of a program's steps.
#include "engine/run/profile.hpp"

#include <thread>

#include "catch.hpp"
#include "engine/state.hpp"
#include "support/reference.hpp"

using namespace ktx;
using engine::Phase;

namespace {

Engine small_engine() {
  return Engine(make_plan({.model = test::shipped_model,
                           .rules = test::source_dir / "optimize_rules/cpu.yaml",
                           .threads = 2,
                           .cache_length = 64}));
}

}  // namespace

TEST_CASE("every command of a program has a name and the layer it belongs to") {
  Engine engine = small_engine();
  const auto& program = engine::Access::state(engine)->programs->of(Phase::decode);
  const int layers = static_cast<int>(program.layers().size());
  for (int layer = 0; layer < layers; ++layer)
    for (const auto& command : program.layers()[static_cast<size_t>(layer)]) {
      const auto& label = command->label();
      CHECK(!label.name.empty());
      CHECK(label.kind == SpanKind::compute);
      CHECK(label.layer == (label.name == "embedding" ? -1 : layer));
    }
  for (const auto& command : program.tail()) CHECK(command->label().layer == layers);
  CHECK(program.tail().front()->label().name == "last_rows");
}

TEST_CASE("spans lie between the beginning and the end of their step, and are forgotten then") {
  Engine engine = small_engine();
  engine::Profile profile(engine::Access::state(engine)->programs->of(Phase::decode));
  const auto sleep = [] { std::this_thread::sleep_for(std::chrono::milliseconds(1)); };
  for (int step = 0; step < 2; ++step) {
    profile.begin();
    profile.on_cpu("outer", 1, SpanKind::wait,
                   [&] { profile.on_cpu("inner", 2, SpanKind::compute, sleep); });
    profile.end(engine::Profile::Clock::now());
    const auto spans = profile.spans();
    REQUIRE(spans.size() == 2);
    CHECK(spans[0].name == "outer");  // though it ended last
    CHECK(spans[0].layer == 1);
    CHECK(spans[0].kind == SpanKind::wait);
    CHECK(spans[1].name == "inner");
    CHECK(spans[1].lane == 0);
    CHECK(spans[0].begin >= 0);
    CHECK(spans[1].end - spans[1].begin >= 1e-3);
    CHECK(spans[0].end >= spans[1].end);
    CHECK(profile.seconds() >= spans[0].end);
  }
  CHECK(profile.lanes().front() == "cpu");
  CHECK(profile.clock_error() == 0);  // the CPU's own clock
}
