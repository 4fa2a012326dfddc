// Texts that tests compare with files of the repository.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

#include "core/base/file.hpp"

namespace ktx::test {

/// The file's text. With KTX_UPDATE_GOLDEN=1 in the environment it is first written anew.
inline std::string golden_file(const std::filesystem::path& file, const std::string& now) {
  if (std::getenv("KTX_UPDATE_GOLDEN") != nullptr) base::write_file(file, now);
  return base::read_text(file);
}

}  // namespace ktx::test
