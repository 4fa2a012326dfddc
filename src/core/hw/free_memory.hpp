// How much memory this process could still take.
#pragma once

#include <cstdint>
#include <filesystem>

namespace ktx::hw {

/// Bytes: MemAvailable of the kernel, at most what the control group allows in all. 0 when it can't
/// be read.
uint64_t free_memory(const std::filesystem::path& meminfo = "/proc/meminfo");

}  // namespace ktx::hw
