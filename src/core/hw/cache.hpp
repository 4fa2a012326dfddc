// What a thread may count on of the caches.
#pragma once

#include <cstdint>

namespace ktx::hw {

/// Bytes of the L2 cache for each of the hardware threads that share it; 512 KiB where the CPU
/// does not say.
int64_t l2_bytes_of_thread() noexcept;

}  // namespace ktx::hw
