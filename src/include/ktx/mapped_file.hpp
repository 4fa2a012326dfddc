// Which file a fault was in.
#pragma once

namespace ktx {

/// The name of the file that ktx has mapped at an address, or nullptr. Entries of the weights'
/// cache are mapped; when one is cut off while it is in use, touching what is gone raises SIGBUS.
/// The library handles no signals: a program that wants to end with a message calls this from its
/// own handler with siginfo_t::si_addr. It takes no lock and no memory; the text lasts as long as
/// the mapping.
const char* mapped_file_at(const void* address) noexcept;

}  // namespace ktx
