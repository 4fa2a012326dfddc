// Free memory as the kernel tells it.
#include "core/hw/free_memory.hpp"

#include <fstream>

#include "catch.hpp"
#include "core/hw/machine.hpp"

using namespace ktx::hw;

TEST_CASE("free memory is some of what there is") {
  const uint64_t bytes = free_memory();
  CHECK(bytes > uint64_t{1} << 20);
  CHECK(bytes <= detect_machine().memory_bytes());
}

TEST_CASE("MemAvailable is read in KiB; without it nothing is known") {
  const auto file = std::filesystem::path(KTX_BINARY_DIR) / "free_memory_test_meminfo";
  std::ofstream(file) << "MemTotal:  4096 kB\nMemFree:  12 kB\nMemAvailable:    2048 kB\n";
  CHECK(free_memory(file) == uint64_t{2} << 20);
  std::ofstream(file) << "MemTotal:  4096 kB\n";
  CHECK(free_memory(file) == 0);
  CHECK(free_memory("/no/such/file") == 0);
}
