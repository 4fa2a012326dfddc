// The pause instruction for spin loops.
#pragma once

namespace ktx::hw {

/// Yields the core's resources to its other hyper-thread for a moment.
inline void pause() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

}  // namespace ktx::hw
