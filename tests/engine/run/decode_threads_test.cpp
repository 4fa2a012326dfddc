// Which numbers of workers are tried, and which is chosen of what they took.
#include "engine/run/decode_threads.hpp"

#include <map>
#include <span>
#include <vector>

#include "catch.hpp"
#include "engine/state.hpp"
#include "ktx/session.hpp"
#include "support/reference.hpp"

using namespace ktx;
using namespace ktx::engine;

TEST_CASE("all workers are tried, all but one, and eighths of them") {
  CHECK(thread_counts(64) == std::vector{64, 63, 56, 48, 40, 32, 24, 16});
  CHECK(thread_counts(16) == std::vector{16, 15, 14, 12, 10, 8, 6, 4});
  CHECK(thread_counts(6) == std::vector{6, 5, 4, 3, 2, 1});
  CHECK(thread_counts(2) == std::vector{2, 1});
  CHECK(thread_counts(1) == std::vector{1});
}

TEST_CASE("the fastest number is found where more are slower, and what is far behind is left out") {
  std::map<int, int> tries;
  // As on a box whose memory feeds 32 threads, and where other programs make every fourth
  // measurement three times as long.
  int measured = 0;
  const auto trials = try_threads(64, [&](int threads) {
    ++tries[threads];
    const double seconds = threads <= 32 ? 32.0 / threads : 1 + (threads - 32) / 30.0;
    return ++measured % 4 == 0 ? 3 * seconds : seconds;
  });
  CHECK(choose_threads(trials) == 32);
  CHECK(tries[32] == 5);
  CHECK(tries[64] < 5);
  CHECK(tries[16] < 5);
}

TEST_CASE("of numbers that measuring can't tell apart the smallest is chosen") {
  const std::vector<ThreadsTrial> trials{{16, 1.0}, {14, 1.01}, {12, 1.015}, {10, 1.1}, {8, 1.3}};
  CHECK(choose_threads(trials) == 12);
  CHECK(choose_threads(std::span(trials).first(1)) == 16);
}

namespace {

Engine shipped(int threads, int decode_threads) {
  return Engine(make_plan({.model = test::shipped_model,
                           .rules = test::source_dir / "optimize_rules/cpu.yaml",
                           .threads = threads,
                           .decode_threads = decode_threads,
                           .cache_length = 256}));
}

}  // namespace

TEST_CASE("decode steps use the workers that they were given, slices use all, texts are the same") {
  const std::vector<int32_t> prompt{3, 14, 15, 92, 65, 35, 89, 79, 323, 84, 62, 64};
  std::vector<int32_t> text;
  for (const int decode_threads : {3, 1, 2}) {
    auto engine = shipped(3, decode_threads);
    CHECK(engine.load_report().decode_threads == decode_threads);
    CHECK(engine.load_report().decode_trials.empty());
    const auto& pool = engine::Access::state(engine)->pool;
    Session session(engine);
    session.generate(prompt, {.max_new_tokens = 0});
    CHECK(pool.size() == 3);
    session.rewind(0);
    const auto ids = session.generate(prompt, {.max_new_tokens = 12}).ids;
    CHECK(pool.size() == decode_threads);
    if (text.empty()) text = ids;
    CHECK(ids == text);
  }
}

TEST_CASE("where nobody gives threads loading measures, and says what it saw") {
  const auto engine = shipped(0, 0);
  const auto& report = engine.load_report();
  const int all = engine::Access::state(engine)->pool.threads();
  CHECK(report.decode_threads >= 1);
  CHECK(report.decode_threads <= all);
  REQUIRE(report.decode_trials.size() == (all == 1 ? 0 : thread_counts(all).size()));
  for (const auto& trial : report.decode_trials) CHECK(trial.seconds > 0);
  CHECK(engine.decoded_experts().layers == 0);  // the trials' are not counted
}
