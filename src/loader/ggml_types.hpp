// Names of the tensor types of ggml and its forks that ktx doesn't read, for messages.
#pragma once

#include <cstdint>
#include <string>

namespace ktx::loader {

/// "has ggml type 139, iq4_k of ik_llama.cpp, which ktx doesn't read"
std::string unread_type(uint32_t type);

}  // namespace ktx::loader
