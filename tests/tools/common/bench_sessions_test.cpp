// Sessions that are measured together, and what they throw on threads of their own.
#include "tools/common/bench_sessions.hpp"

#include <vector>

#include "catch.hpp"
#include "ktx/error.hpp"
#include "ktx/session.hpp"
#include "support/reference.hpp"

using namespace ktx;

namespace {

Engine engine_with_four_pages() {
  return Engine(make_plan({.model = test::shipped_model,
                           .rules = test::source_dir / "optimize_rules/cpu.yaml",
                           .threads = 2,
                           .decode_threads = 2,
                           .cache_length = 128,
                           .sessions = 2}));
}

/// Takes so many pages of 64 tokens until it is destroyed.
Session taking(Engine& engine, int64_t pages) {
  Session session(engine);
  session.generate(std::vector<int32_t>(static_cast<size_t>(64 * pages), 5), {.max_new_tokens = 0});
  return session;
}

}  // namespace

TEST_CASE("sessions decode together, and one decodes while another reads") {
  Engine engine = engine_with_four_pages();
  const auto together = tools::bench_together(engine, 4, 2);
  CHECK(together.row.test == "decode 4 in 2 sessions");
  CHECK(together.row.median > 0);
  CHECK(together.experts.layers > 0);
  const auto gap = tools::bench_gap(engine, 64);
  CHECK(gap.prompt == 64);
  CHECK(gap.layer > 0);
  CHECK(gap.decode > 0);
  CHECK(gap.longest > 0);
}

TEST_CASE("what a measured session throws reaches the caller, from whichever thread") {
  Engine engine = engine_with_four_pages();
  const Session two = taking(engine, 2), one = taking(engine, 1);
  CHECK_THROWS_AS(tools::bench_gap(engine, 64), Error);  // its decoding session wants two pages
  const Session last = taking(engine, 1);
  CHECK_THROWS_AS(tools::bench_together(engine, 4, 1), Error);
}
