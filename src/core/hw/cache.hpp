// Sizes of the CPU's caches.
#pragma once

#include <cstdint>

namespace ktx::hw {

/// Bytes of L2 cache per hardware thread that shares it; 512 KiB if the CPU does not say.
int64_t l2_bytes_of_thread() noexcept;

}  // namespace ktx::hw
