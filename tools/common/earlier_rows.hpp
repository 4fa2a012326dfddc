// Rows of an earlier `ktx-bench kernels --json`, for comparison.
#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "ktx/bench.hpp"

namespace ktx::tools {

class EarlierRows {
 public:
  /// Throws input error when the file can't be read, is no such output, or measured other shapes
  /// than these options ask for.
  EarlierRows(const std::filesystem::path& file, const KernelBenchOptions& options);

  /// How many times as fast the row is as the same row was (of the same op, format and tokens; a
  /// layer's: with as many experts) with as many threads, as far as the file tells: the one of its
  /// kernel, or the only one. Nothing when there is none.
  std::optional<double> speedup(const KernelRow& row) const;

 private:
  std::vector<KernelRow> rows_;
};

}  // namespace ktx::tools
