// The GPUs' part of a decode step as graphs: one for each of some numbers of rows, launched with a
// single call, whatever the batch.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "core/device/graph.hpp"
#include "engine/run/program.hpp"

namespace ktx::engine {

/// Of a program and a workspace. Rows up to that number are padded with unused ones to the next
/// that there is a graph for.
class Recording {
 public:
  static constexpr int64_t most_rows = 64;

  /// Captures everything while loading; throws environment error when a GPU refuses. All must
  /// outlive it. profile: one graph alone is captured, of one row, with its marks.
  Recording(const Program& program, Workspace& workspace, KvStore& cache, hw::WorkerPool& pool,
            Profile* profile = nullptr);
  ~Recording();

  bool holds(int64_t rows) const noexcept;
  /// The batch is staged. Returns the rows that are computed.
  int64_t launch(int64_t rows) const noexcept;

 private:
  class Meeting;

  const Program& program_;
  Workspace& workspace_;
  std::unique_ptr<Meeting> meeting_;
  std::vector<std::pair<int64_t, std::unique_ptr<device::Graph>>> graphs_;  // by rows
};

}  // namespace ktx::engine
