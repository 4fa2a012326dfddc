// Memory limits of control groups, from folders that look like /sys/fs/cgroup.
#include "core/hw/cgroup.hpp"

#include <fstream>
#include <string>

#include "catch.hpp"
#include "support/temp_dir.hpp"

using namespace ktx::hw;
namespace fs = std::filesystem;

namespace {

struct Groups {
  ktx::test::TempDir folder;
  const fs::path& path = folder.path();
  Groups() { fs::create_directories(path / "a/b"); }
  void put(const std::string& file, const std::string& text) const {
    std::ofstream(path / file) << text;
  }
  std::optional<uint64_t> limit() const { return cgroup_memory_limit(path / "membership", path); }
};

}  // namespace

TEST_CASE("the least limit of a group and those above it counts") {
  const Groups groups;
  groups.put("membership", "0::/a/b\n");
  REQUIRE_FALSE(groups.limit().has_value());
  groups.put("a/b/memory.max", "max\n");
  REQUIRE_FALSE(groups.limit().has_value());
  groups.put("a/memory.max", "5000000000\n");
  REQUIRE(groups.limit() == 5'000'000'000u);
  groups.put("a/b/memory.max", "6000000000\n");
  REQUIRE(groups.limit() == 5'000'000'000u);
  groups.put("a/b/memory.max", "4000000000\n");
  REQUIRE(groups.limit() == 4'000'000'000u);
  groups.put("memory.max", "3000000000\n");  // a container sees its own group as the root
  REQUIRE(groups.limit() == 3'000'000'000u);
  groups.put("membership", "12:memory:/x\n0::/\n");
  REQUIRE(groups.limit() == 3'000'000'000u);
}

TEST_CASE("limits of cgroup v1, alone and beside v2") {
  const Groups groups;
  fs::create_directories(groups.path / "memory/docker/box");
  groups.put("membership", "12:cpuset:/other\n7:hugetlb,memory:/docker/box\n0::/a\n");
  REQUIRE_FALSE(groups.limit().has_value());
  groups.put("memory/memory.limit_in_bytes", "9223372036854771712\n");  // no limit
  groups.put("memory/docker/box/memory.limit_in_bytes", "9223372036854771712\n");
  REQUIRE_FALSE(groups.limit().has_value());
  groups.put("memory/docker/box/memory.limit_in_bytes", "62914560\n");
  REQUIRE(groups.limit() == 62'914'560u);
  groups.put("memory/docker/memory.limit_in_bytes", "50000000\n");
  REQUIRE(groups.limit() == 50'000'000u);
  fs::create_directories(groups.path / "unified/a");
  groups.put("unified/a/memory.max", "40000000\n");
  REQUIRE(groups.limit() == 40'000'000u);
  // A container sees its own group as the root, whatever the host calls it.
  groups.put("membership", "7:memory:/docker/not-seen-here\n");
  groups.put("memory/memory.limit_in_bytes", "30000000\n");
  REQUIRE(groups.limit() == 30'000'000u);
  groups.put("membership", "7:memory_of_another_kind:/docker/box\n");
  REQUIRE_FALSE(groups.limit().has_value());
}

TEST_CASE("groups that say nothing of use give no limit") {
  const Groups groups;
  groups.put("memory.max", "7\n");
  REQUIRE_FALSE(groups.limit().has_value());  // no membership
  for (const char* membership : {"", "0:\n", "5:memory:/a\n", "0::/../outside\n"}) {
    INFO(membership);
    groups.put("membership", membership);
    CHECK_FALSE(groups.limit().has_value());
  }
  groups.put("membership", "0::/\n");
  for (const char* limit : {"", "-1", "12k", "99999999999999999999999", "none"}) {
    INFO(limit);
    groups.put("memory.max", limit);
    CHECK_FALSE(groups.limit().has_value());
  }
}
