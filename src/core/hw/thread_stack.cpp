// The memory of a thread's stack.
#include "core/hw/thread_stack.hpp"

#include <alloca.h>
#include <pthread.h>
#include <sys/mman.h>

#include <cstddef>
#include <cstdint>

namespace ktx::hw {

namespace {

constexpr uintptr_t page = uintptr_t{2} << 20;

/// The lowest address of the calling thread's stack, or 0.
uintptr_t lowest_of_stack() noexcept {
  pthread_attr_t attributes;
  if (::pthread_getattr_np(::pthread_self(), &attributes) != 0) return 0;
  void* lowest = nullptr;
  size_t size = 0;
  const bool known = ::pthread_attr_getstack(&attributes, &lowest, &size) == 0;
  ::pthread_attr_destroy(&attributes);
  return known ? reinterpret_cast<uintptr_t>(lowest) : 0;
}

}  // namespace

void call_on_huge_pages(void (*body)(void* context), void* context) {
  const auto frame = reinterpret_cast<uintptr_t>(__builtin_frame_address(0));
  const uintptr_t lowest = lowest_of_stack();
  // Pages in use are not made one: only whole ones below this frame are.
  const uintptr_t begin = (lowest + page - 1) / page * page, end = frame / page * page;
  if (lowest == 0 || begin + page > end ||
      ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE) != 0)
    return body(context);
  // Frames from here on lie below `end`.
  void* skipped = ::alloca(frame - end);
  __asm__ volatile("" : : "r"(skipped) : "memory");
  body(context);
  __asm__ volatile("" : : "r"(skipped) : "memory");
}

}  // namespace ktx::hw
