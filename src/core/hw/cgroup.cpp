// Memory limits of cgroup v1 and v2 (Linux, Documentation/admin-guide/cgroup-v1/memory.rst and
// cgroup-v2.rst).
#include "core/hw/cgroup.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <fstream>
#include <string>
#include <string_view>

namespace ktx::hw {
namespace fs = std::filesystem;

namespace {

// Where groups may lie: v2 alone, or v1 with v2 beside it (hybrid; either may limit memory).
struct Hierarchy {
  std::string_view controller;  // in the membership's line "ID:controllers:group"; v2: none
  std::string_view folder;      // below the mount point
  std::string_view limit;       // file of a group
};
constexpr std::array hierarchies{
    Hierarchy{"", "", "memory.max"},
    Hierarchy{"", "unified", "memory.max"},
    Hierarchy{"memory", "memory", "memory.limit_in_bytes"},
};

// v1 says "no limit" by the largest number of whole pages; no machine has half as much.
constexpr uint64_t no_limit = uint64_t{1} << 62;

bool lists(std::string_view controllers, std::string_view name) {
  if (name.empty()) return controllers.empty();
  return ("," + std::string(controllers) + ",").find("," + std::string(name) + ",") !=
         std::string::npos;
}

// The path of the group, relative to the mount point.
std::optional<fs::path> group_of(const fs::path& membership, std::string_view controller) {
  std::ifstream in(membership);
  for (std::string line; std::getline(in, line);) {
    const size_t first = line.find(':'), second = line.find(":/", first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    if (lists(std::string_view(line).substr(first + 1, second - first - 1), controller))
      return fs::path(line.substr(second + 2)).lexically_normal();
  }
  return std::nullopt;
}

std::optional<uint64_t> limit_of(const fs::path& file) {
  std::ifstream in(file);
  std::string text;
  uint64_t bytes = 0;
  if (!(in >> text)) return std::nullopt;
  const char* end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, bytes);
  if (error != std::errc{} || stop != end || bytes >= no_limit)
    return std::nullopt;  // "max": no limit
  return bytes;
}

// The least limit of the group and of those above it.
std::optional<uint64_t> limit_in(const Hierarchy& hierarchy, const fs::path& membership,
                                 const fs::path& root) {
  const auto group = group_of(membership, hierarchy.controller);
  if (!group) return std::nullopt;
  std::optional<uint64_t> least;
  fs::path at = root / hierarchy.folder;
  const auto count = [&] {
    if (const auto limit = limit_of(at / hierarchy.limit))
      least = std::min(least.value_or(*limit), *limit);
  };
  count();
  for (const auto& part : *group) {
    if (part == "..") return std::nullopt;  // a group outside of what this process sees
    at /= part;
    count();
  }
  return least;
}

}  // namespace

std::optional<uint64_t> cgroup_memory_limit(const fs::path& membership, const fs::path& root) {
  std::optional<uint64_t> least;
  for (const auto& hierarchy : hierarchies)
    if (const auto limit = limit_in(hierarchy, membership, root))
      least = std::min(least.value_or(*limit), *limit);
  return least;
}

}  // namespace ktx::hw
