// Finds the mapped file in which a SIGBUS was raised.
#pragma once

namespace ktx {

/// The name of the file that ktx has mapped at an address, or nullptr. Entries of the weights cache
/// are mapped; if one is truncated while in use, reading the missing part raises SIGBUS. The
/// library installs no signal handlers: a program that wants to exit with a message calls this from
/// its own handler with siginfo_t::si_addr. Async-signal-safe: it neither locks nor allocates. The
/// string is valid as long as the mapping.
const char* mapped_file_at(const void* address) noexcept;

}  // namespace ktx
