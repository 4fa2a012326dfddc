// Huge pages for a thread's stack.
#pragma once

namespace ktx::hw {

/// Calls body(context) with the calling thread's stack on 2 MiB pages, because kernels keep blocks
/// on the stack; without them if the system has no such pages or the stack has no room. Not for the
/// main thread, whose stack grows on demand.
void call_on_huge_pages(void (*body)(void* context), void* context);

}  // namespace ktx::hw
