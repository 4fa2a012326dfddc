// The prompts of benchmarks.
#include <algorithm>
#include <set>

#include "catch.hpp"
#include "ktx/bench.hpp"

using namespace ktx;

TEST_CASE("a benchmark's tokens are of the vocabulary, many of it, and the same again") {
  constexpr int vocab = 1000;
  const auto ids = some_tokens(500, vocab);
  REQUIRE(ids.size() == 500);
  CHECK(std::ranges::all_of(ids, [](int32_t id) { return id >= 0 && id < vocab; }));
  CHECK(std::set(ids.begin(), ids.end()).size() > 300);
  CHECK(some_tokens(500, vocab) == ids);
}
