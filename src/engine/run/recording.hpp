// The GPUs' part of a decode step, captured as CUDA graphs for several numbers of rows, each
// launched with a single call.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "core/device/graph.hpp"
#include "engine/run/program.hpp"

namespace ktx::engine {

/// The graphs of a program and a workspace. A batch is padded with unused rows to the next number
/// of rows that has a graph.
class Recording {
 public:
  static constexpr int64_t most_rows = 64;

  /// Captures all graphs. Throws environment error when a GPU refuses. The arguments must outlive
  /// it. profile: if given, captures only the graph for one row, with timestamps.
  Recording(const Program& program, Workspace& workspace, KvStore& cache, hw::WorkerPool& pool,
            Profile* profile = nullptr);
  ~Recording();

  bool holds(int64_t rows) const noexcept;
  /// Launches the graph for a batch that has been staged. Returns the number of rows computed,
  /// padding included.
  int64_t launch(int64_t rows) const noexcept;

 private:
  class Meeting;

  const Program& program_;
  Workspace& workspace_;
  std::unique_ptr<Meeting> meeting_;
  std::vector<std::pair<int64_t, std::unique_ptr<device::Graph>>> graphs_;  // by rows
};

}  // namespace ktx::engine
