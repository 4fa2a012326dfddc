// The memory of a thread's stack.
#pragma once

namespace ktx::hw {

/// Calls body(context) where the calling thread's stack is in 2 MiB pages: kernels keep their
/// blocks there. Calls it all the same where the system has no such pages, or the stack no room for
/// them. For threads other than the process's first, whose stack grows as it is used.
void call_on_huge_pages(void (*body)(void* context), void* context);

}  // namespace ktx::hw
