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

TEST_CASE("a thread goes on where its stack has large pages") {
  std::string flags;
  uintptr_t frame = 0;
  struct Seen {
    std::string& flags;
    uintptr_t& frame;
  } seen{flags, frame};
  std::thread([&] {
    hw::call_on_huge_pages(
        [](void* context) {
          auto& to = *static_cast<Seen*>(context);
          // Not a local variable's: AddressSanitizer may keep those elsewhere.
          to.frame = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
          to.flags = flags_of(to.frame);
        },
        &seen);
  }).join();
  REQUIRE(frame != 0);  // whatever the system has, the body is called
  std::ifstream file("/sys/kernel/mm/transparent_hugepage/enabled");
  if (!file) SKIP("this system has no large pages");
  INFO(flags);
  REQUIRE(flags.find(" hg ") != std::string::npos);
}
