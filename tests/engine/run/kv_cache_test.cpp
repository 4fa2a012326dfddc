// The cache's layers do not overlap.
#include "engine/run/kv_cache.hpp"

#include "catch.hpp"

TEST_CASE("layers of a cache lie one after another") {
  const std::vector<ktx::graph::KvRow> rows{
      {.scaled = 512, .exact = 64}, {.scaled = 64}, {.scaled = 1}};
  ktx::engine::KvCache cache(rows, 10, ktx::hw::detect_machine());
  CHECK(cache.capacity() == 10);
  CHECK(cache.data(1) - cache.data(0) == 5760);
  CHECK(cache.data(2) - cache.data(1) == 640);
  for (int layer = 0; layer < 3; ++layer) {
    const int64_t size = rows[static_cast<size_t>(layer)].numbers() * 10;
    for (int64_t i = 0; i < size; ++i) CHECK(cache.data(layer)[i] == 0.0f);
  }
}
