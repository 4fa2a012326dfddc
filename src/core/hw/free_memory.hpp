// How much memory this process can still allocate.
#pragma once

#include <cstdint>
#include <filesystem>

namespace ktx::hw {

/// The kernel's MemAvailable in bytes, but no more than the control group's limit. 0 when it can't
/// be read.
uint64_t free_memory(const std::filesystem::path& meminfo = "/proc/meminfo");

}  // namespace ktx::hw
