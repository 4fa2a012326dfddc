// The memory that this process's control group lets it have.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

namespace ktx::hw {

/// Bytes: the least memory limit (cgroup v1 and v2) of the groups named in `membership` and of
/// those above them, below the mount point `root`. Nothing when there is no limit or none can be
/// read.
std::optional<uint64_t> cgroup_memory_limit(
    const std::filesystem::path& membership = "/proc/self/cgroup",
    const std::filesystem::path& root = "/sys/fs/cgroup");

}  // namespace ktx::hw
