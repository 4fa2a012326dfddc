// Shorthands for throwing ktx::Error.
#pragma once

#include <string>
#include <vector>

#include "ktx/error.hpp"

namespace ktx {

[[noreturn]] void throw_input(std::string message, std::string where = {},
                              std::vector<std::string> notes = {});
[[noreturn]] void throw_environment(std::string message, std::string where = {},
                                    std::vector<std::string> notes = {});
[[noreturn]] void throw_bug(std::string message, std::string where = {});

/// Throws a `bug` error unless condition holds: for invariants that other parts of ktx guarantee.
inline void require(bool condition, const char* message) {
  if (!condition) throw_bug(message);
}

}  // namespace ktx
