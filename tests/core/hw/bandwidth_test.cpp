// The measured read bandwidth is one that a machine can have.
#include "catch.hpp"
#include "core/base/failure.hpp"
#include "core/hw/machine.hpp"

using namespace ktx;
using namespace ktx::hw;

TEST_CASE("the read bandwidth lies within reason") {
  for (const int threads : {1, 2}) {
    const double rate = measure_read_bandwidth(threads, 0.06);
    INFO(threads << " threads: " << rate / 1e9 << " GB/s");
    CHECK(rate > 50e6);   // even under a sanitizer on a busy machine
    CHECK(rate < 400e9);  // two cores: more would be a cache's
  }
}

TEST_CASE("no thread or no time is a mistake of the caller") {
  REQUIRE(test::failure([] { measure_read_bandwidth(0); }) ==
          "bug read bandwidth needs a thread and a time");
  REQUIRE(test::failure([] { measure_read_bandwidth(1, 0); }) ==
          "bug read bandwidth needs a thread and a time");
}
