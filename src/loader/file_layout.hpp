// The layout of a checkpoint file to be written.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace ktx::loader {

/// The file is the header, then the tensors at their offsets; the bytes between them are zero.
struct FileLayout {
  std::string header;
  std::vector<uint64_t> offsets;  // of each tensor's first byte in the file, in the order given
  uint64_t size = 0;              // bytes of the file
};

}  // namespace ktx::loader
