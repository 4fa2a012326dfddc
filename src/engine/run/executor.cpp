// Layer by layer through a program.
#include "engine/run/executor.hpp"

namespace ktx::engine {

Step::Step(const Program& program, const Batch& batch, Workspace& workspace, KvStore& cache,
           hw::WorkerPool& pool, const Recording* recording, Profile* profile) noexcept
    : program_(program),
      context_{.batch = batch,
               .workspace = workspace,
               .cache = cache,
               .pool = pool,
               .rows = batch.rows(),
               .logit_rows = {},
               .profile = profile} {
  const auto prepare = [&] {
    workspace.failed = false;
    workspace.stage(batch);
    if (recording == nullptr || !recording->holds(batch.rows())) return;
    context_.submission = Submission::recorded;
    context_.rows = recording->launch(batch.rows());
  };
  if (profile == nullptr || recording == nullptr)
    prepare();
  else
    profile->on_cpu("launch", -1, SpanKind::submit, prepare);
}

void Step::use_workers() noexcept {
  const int workers = context_.batch.workers;
  context_.pool.use(workers > 0 ? workers : context_.pool.threads());
}

void Step::advance() noexcept {
  use_workers();
  const bool only_cpu = context_.submission == Submission::recorded;
  for (const auto& command : program_.layers()[next_]) {
    if (only_cpu && program_.on_gpu(*command)) continue;
    if (context_.workspace.failed) return;
    run_command(*command, context_);
  }
  ++next_;
}

const float* Step::logits(int64_t begin, int64_t rows) noexcept {
  use_workers();
  context_.submission = Submission::direct;
  context_.logit_rows = std::span(context_.batch.logit_rows)
                            .subspan(static_cast<size_t>(begin), static_cast<size_t>(rows));
  for (const auto& command : program_.tail()) {
    if (context_.workspace.failed) break;
    run_command(*command, context_);
  }
  return context_.workspace.view(program_.logits()).data;
}

}  // namespace ktx::engine
