// The memory of a thread's stack.
#include "core/hw/thread_stack.hpp"

#include <pthread.h>
#include <sys/mman.h>

#include <cstdint>

namespace ktx::hw {

void use_huge_stack_pages() noexcept {
  constexpr uintptr_t page = uintptr_t{2} << 20;
  pthread_attr_t attributes;
  if (::pthread_getattr_np(::pthread_self(), &attributes) != 0) return;
  void* lowest = nullptr;
  size_t size = 0;
  const bool known = ::pthread_attr_getstack(&attributes, &lowest, &size) == 0;
  ::pthread_attr_destroy(&attributes);
  if (!known) return;
  // Pages are not split: only whole ones below this frame are free.
  const uintptr_t begin = (reinterpret_cast<uintptr_t>(lowest) + page - 1) / page * page;
  const uintptr_t end = reinterpret_cast<uintptr_t>(&attributes) / page * page;
  if (begin < end) ::madvise(reinterpret_cast<void*>(begin), end - begin, MADV_HUGEPAGE);
}

}  // namespace ktx::hw
