// The memory limit of this process's control group.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>

namespace ktx::hw {

/// The lowest memory limit in bytes (cgroup v1 and v2) of the groups named in `membership` and of
/// their ancestors below the mount point `root`. Nothing when there is no limit or it can't be
/// read.
std::optional<uint64_t> cgroup_memory_limit(
    const std::filesystem::path& membership = "/proc/self/cgroup",
    const std::filesystem::path& root = "/sys/fs/cgroup");

}  // namespace ktx::hw
