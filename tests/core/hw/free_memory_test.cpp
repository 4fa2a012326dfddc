// Free memory as the kernel tells it.
#include "core/hw/free_memory.hpp"

#include "catch.hpp"
#include "core/hw/machine.hpp"
#include "support/temp_dir.hpp"

using namespace ktx::hw;

TEST_CASE("free memory is some of what there is") {
  const uint64_t bytes = free_memory();
  CHECK(bytes > uint64_t{1} << 20);
  CHECK(bytes <= detect_machine().memory_bytes());
}

TEST_CASE("MemAvailable is read in KiB; without it nothing is known") {
  const ktx::test::TempDir folder;
  const auto read = [&](const char* text) { return free_memory(folder.write("meminfo", text)); };
  CHECK(read("MemTotal:  4096 kB\nMemFree:  12 kB\nMemAvailable:    2048 kB\n") == uint64_t{2}
                                                                                       << 20);
  CHECK(read("MemTotal:  4096 kB\n") == 0);
  CHECK(free_memory("/no/such/file") == 0);
}
