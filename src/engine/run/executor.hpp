// Runs a program over a batch, layer by layer; a step can be suspended between layers.
#pragma once

#include <cstdint>

#include "core/hw/worker_pool.hpp"
#include "engine/run/batch.hpp"
#include "engine/run/kv_store.hpp"
#include "engine/run/profile.hpp"
#include "engine/run/program.hpp"
#include "engine/run/recording.hpp"
#include "engine/run/workspace.hpp"

namespace ktx::engine {

/// A batch running through the program. Another step may run on another workspace before this one
/// continues. Neither locks nor allocates. When advance() returns, a layer's work on the CPU is
/// done and its work on GPUs has been submitted.
class Step {
 public:
  /// The arguments must outlive the step. The batch must not change meanwhile, and its sequences
  /// must have pages for their rows. recording: of this program and workspace, or null; if it has a
  /// graph for the batch, the graph is launched at once. profile: of the program, or null; records
  /// when commands began and ended. The recording must have been made with it.
  Step(const Program& program, const Batch& batch, Workspace& workspace, KvStore& cache,
       hw::WorkerPool& pool, const Recording* recording = nullptr,
       Profile* profile = nullptr) noexcept;

  /// Runs the next layer; the first one includes what comes before the layers.
  void advance() noexcept;
  bool finished() const noexcept { return next_ == program_.layers().size() || failed(); }
  /// Whether a GPU stopped answering; the rest of the step is then not run. Program::devices says
  /// why.
  bool failed() const noexcept { return context_.workspace.failed; }

  /// Logits of the batch's logit_rows[begin, begin + rows): [rows, vocab], valid until the next
  /// call. rows is at most graph::max_logit_rows. The step must be finished and not failed. If it
  /// fails during this call, the logits are meaningless.
  const float* logits(int64_t begin, int64_t rows) noexcept;

 private:
  // Steps that run between two layers of this one may use a different number.
  void use_workers() noexcept;

  const Program& program_;
  StepContext context_;
  size_t next_ = 0;  // layer
};

}  // namespace ktx::engine
