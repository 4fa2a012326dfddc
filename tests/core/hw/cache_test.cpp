#include "core/hw/cache.hpp"

#include "catch.hpp"
#include "core/hw/machine.hpp"

using namespace ktx::hw;

TEST_CASE("a thread's share of the L2 cache is that of its core, or less") {
  const int64_t share = l2_bytes_of_thread();
  CHECK(share >= 32 * 1024);
  CHECK(share % 1024 == 0);
  const Machine machine = detect_machine();
  if (machine.l2_bytes == 0) SKIP("the system does not say how large the L2 cache is");
  CHECK(static_cast<int64_t>(machine.l2_bytes) % share == 0);
}
