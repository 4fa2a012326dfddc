// A search for GPUs that is never an error.
#include "core/device/gpus.hpp"

#include "catch.hpp"

using namespace ktx::device;

TEST_CASE("the GPUs of this box are found or there are none") {
  const auto gpus = detect_gpus();
  for (const auto& gpu : gpus) {
    CHECK_FALSE(gpu.name.empty());
    CHECK(gpu.memory_bytes > 0);
  }
  REQUIRE(detect_gpus().size() == gpus.size());
}
