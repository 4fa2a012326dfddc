// Runs a program over a batch; between two layers a step can be suspended.
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

/// A batch on its way through the program. Another step may run on another workspace before this
/// one goes on. Neither locks nor allocates. On the CPU a layer is done when advance() returns; on
/// GPUs its work has been submitted.
class Step {
 public:
  /// All must outlive the step; the batch must not change meanwhile, and its sequences have pages
  /// for their rows. recording: of this program and workspace, or null; if it has a graph for the
  /// batch, that is launched at once. profile: of the program, gets when commands began and ended;
  /// the recording then was made with it.
  Step(const Program& program, const Batch& batch, Workspace& workspace, KvStore& cache,
       hw::WorkerPool& pool, const Recording* recording = nullptr,
       Profile* profile = nullptr) noexcept;

  /// Runs the next layer; what stands before the first one goes with it.
  void advance() noexcept;
  bool finished() const noexcept { return next_ == program_.layers().size() || failed(); }
  /// A GPU does not answer; the rest of the step is not run. Program::devices says why.
  bool failed() const noexcept { return context_.workspace.failed; }

  /// Logits of the batch's logit_rows[begin, begin + rows): [rows, vocab], valid until the next
  /// call. rows is at most graph::max_logit_rows. The step must be finished, and not failed; if it
  /// fails now they are worth nothing.
  const float* logits(int64_t begin, int64_t rows) noexcept;

 private:
  // Other steps, between two layers of this one, may use others.
  void use_workers() noexcept;

  const Program& program_;
  StepContext context_;
  size_t next_ = 0;  // layer
};

}  // namespace ktx::engine
