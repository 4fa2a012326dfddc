// Names of files that tests write: ctest runs the cases of one executable at the same time.
#pragma once

#include <unistd.h>

#include <filesystem>
#include <string>

namespace ktx::test {

/// In the build folder, a name that no other running test has.
inline std::filesystem::path own_file(const std::string& name) {
  return std::filesystem::path(KTX_BINARY_DIR) / (std::to_string(::getpid()) + "-" + name);
}

}  // namespace ktx::test
