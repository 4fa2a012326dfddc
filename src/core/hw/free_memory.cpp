// MemAvailable, and the control group's limit.
#include "core/hw/free_memory.hpp"

#include <algorithm>
#include <fstream>
#include <string>

#include "core/hw/cgroup.hpp"

namespace ktx::hw {

uint64_t free_memory(const std::filesystem::path& meminfo) {
  std::ifstream file(meminfo);
  std::string word;
  uint64_t kibibytes = 0;
  while (file >> word)
    if (word == "MemAvailable:") {
      file >> kibibytes;
      break;
    }
  const uint64_t bytes = kibibytes * 1024;
  const auto limit = cgroup_memory_limit();
  return limit ? std::min(*limit, bytes) : bytes;
}

}  // namespace ktx::hw
