// A search for GPUs that is never an error.
#include "core/device/gpus.hpp"

#include <cstdlib>

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

TEST_CASE("kernels are loaded eagerly unless the user says otherwise") {
  const char* const name = "CUDA_MODULE_LOADING";
  const char* const before = std::getenv(name);
  const std::string kept = before == nullptr ? "" : before;
  ::unsetenv(name);
  load_kernels_eagerly();
  CHECK(std::string(std::getenv(name)) == "EAGER");
  ::setenv(name, "LAZY", 1);
  load_kernels_eagerly();
  CHECK(std::string(std::getenv(name)) == "LAZY");
  kept.empty() ? ::unsetenv(name) : ::setenv(name, kept.c_str(), 1);
}
