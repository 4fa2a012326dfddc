// Pages of thread stacks.
#include "core/hw/thread_stack.hpp"

#include <cstdint>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>

#include "catch.hpp"

using namespace ktx;

namespace {

/// The line "VmFlags" of the mapping of this process that holds the address, or nothing.
std::string flags_of(uintptr_t address) {
  std::ifstream maps("/proc/self/smaps");
  std::string line;
  bool inside = false;
  while (std::getline(maps, line)) {
    uintptr_t begin = 0, end = 0;
    char dash = 0;
    std::istringstream range(line);
    if (range >> std::hex >> begin >> dash >> end && dash == '-')
      inside = begin <= address && address < end;
    if (inside && line.rfind("VmFlags:", 0) == 0) return line + " ";
  }
  return {};
}

}  // namespace

TEST_CASE("a thread's unused stack gets large pages") {
  std::string after;
  std::thread([&] {
    char here = 0;
    // Stacks are 8 MiB unless the system says so.
    const uintptr_t below = reinterpret_cast<uintptr_t>(&here) - (uintptr_t{4} << 20);
    hw::use_huge_stack_pages();
    after = flags_of(below);
  }).join();
  std::ifstream file("/sys/kernel/mm/transparent_hugepage/enabled");
  if (after.empty() || !file) {
    WARN("skipped: no large pages, or small stacks, here");
    return;
  }
  INFO(after);
  REQUIRE(after.find(" hg ") != std::string::npos);
}
