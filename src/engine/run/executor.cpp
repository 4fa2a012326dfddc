// Layer by layer through a program.
#include "engine/run/executor.hpp"

namespace ktx::engine {

Step::Step(const Program& program, const Batch& batch, Workspace& workspace, KvStore& cache,
           hw::WorkerPool& pool, const Recording* recording) noexcept
    : program_(program), context_{batch, workspace, cache, pool, batch.rows()} {
  workspace.failed = false;
  workspace.stage(batch);
  if (recording == nullptr || !recording->holds(batch.rows())) return;
  context_.submission = Submission::recorded;
  context_.rows = recording->launch(batch.rows());
}

void Step::advance() noexcept {
  const bool only_cpu = context_.submission == Submission::recorded;
  for (const auto& command : program_.layers()[next_]) {
    if (only_cpu && program_.on_gpu(*command)) continue;
    if (context_.workspace.failed) return;
    command->run(context_);
  }
  ++next_;
}

const float* Step::logits(int64_t begin, int64_t rows) noexcept {
  context_.submission = Submission::direct;
  context_.logit_rows = std::span(context_.batch.logit_rows)
                            .subspan(static_cast<size_t>(begin), static_cast<size_t>(rows));
  for (const auto& command : program_.tail()) {
    if (context_.workspace.failed) break;
    command->run(context_);
  }
  return context_.workspace.view(program_.logits()).data;
}

}  // namespace ktx::engine
