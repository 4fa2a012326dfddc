// Memory limits of cgroup v2 (Linux, Documentation/admin-guide/cgroup-v2.rst).
#include "core/hw/cgroup.hpp"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <string>

namespace ktx::hw {
namespace fs = std::filesystem;

namespace {

// The path of the group, relative to the mount point; the line of v2 begins with "0::".
std::optional<fs::path> group_of(const fs::path& membership) {
  std::ifstream in(membership);
  for (std::string line; std::getline(in, line);)
    if (line.starts_with("0::/")) return fs::path(line.substr(4)).lexically_normal();
  return std::nullopt;
}

std::optional<uint64_t> limit_of(const fs::path& group) {
  std::ifstream in(group / "memory.max");
  std::string text;
  uint64_t bytes = 0;
  if (!(in >> text)) return std::nullopt;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, bytes);
  if (error != std::errc{} || stop != end) return std::nullopt;  // "max": no limit
  return bytes;
}

}  // namespace

std::optional<uint64_t> cgroup_memory_limit(const fs::path& membership, const fs::path& root) {
  const auto group = group_of(membership);
  if (!group) return std::nullopt;
  std::optional<uint64_t> least;
  fs::path at = root;
  const auto count = [&] {
    if (const auto limit = limit_of(at)) least = std::min(least.value_or(*limit), *limit);
  };
  count();
  for (const auto& part : *group) {
    if (part == "..") return std::nullopt;  // a group outside of what this process sees
    at /= part;
    count();
  }
  return least;
}

}  // namespace ktx::hw
