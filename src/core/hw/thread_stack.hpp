// The memory of a thread's stack.
#pragma once

namespace ktx::hw {

/// Asks for 2 MiB pages where the calling thread's stack is not yet in use: kernels keep their
/// blocks there. Does nothing where the system has no such pages. For threads other than the
/// process's first, whose stack grows as it is used.
void use_huge_stack_pages() noexcept;

}  // namespace ktx::hw
