// Writes the tensors of a file with random numbers, on several threads.
#pragma once

#include <cstdint>
#include <functional>

#include "core/base/file.hpp"
#include "engine/synth/files.hpp"

namespace ktx::engine {

struct WriteOptions {
  uint64_t seed = 1;
  int threads = 1;
  /// Called with the bytes just written, by one thread at a time. An exception stops all threads
  /// and comes out of write_tensors.
  std::function<void(uint64_t bytes)> wrote;
};

/// Gives `out` the file's size, header and tensors. Each tensor's bytes follow from the seed and
/// its name alone.
void write_tensors(base::PartialFile& out, const TensorFile& file, const WriteOptions& options);

}  // namespace ktx::engine
