// ktx::Engine: opening the checkpoint and loading it through the plan.
#include "ktx/engine.hpp"

#include <chrono>

#include "engine/state.hpp"
#include "loader/checkpoint.hpp"

namespace ktx {

namespace {

// The CPUs of the plan's machine in the order in which workers take them: one hardware thread of
// each core first (NumaNode::cpus is ordered so).
std::vector<int> worker_cpus(const hw::Machine& machine) {
  std::vector<int> cpus;
  for (const auto& node : machine.nodes)
    cpus.insert(cpus.end(), node.cpus.begin(), node.cpus.end());
  return cpus;
}

}  // namespace

engine::EngineState::EngineState(const Plan& p, const LoadOptions& options)
    : plan(p), pool(p.details().threads, worker_cpus(p.details().machine)) {
  const auto start = std::chrono::steady_clock::now();
  const auto source = loader::open_checkpoint(p.options().model, {});
  weights = std::make_unique<Weights>(
      p.details(), *source, pool, [&](const std::string& module, uint64_t done, uint64_t total) {
        if (options.progress) options.progress({module, done, total});
      });
  executor = std::make_unique<Executor>(p.details(), *weights, pool);
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  report.source_bytes = weights->source_bytes();
  report.weight_bytes = weights->bytes();
}

Engine::Engine(const Plan& plan, const LoadOptions& options)
    : state_(std::make_shared<engine::EngineState>(plan, options)) {}

const Plan& Engine::plan() const noexcept {
  return state_->plan;
}
const Tokenizer& Engine::tokenizer() const {
  std::call_once(state_->tokenizer_opened,
                 [this] { state_->tokenizer = Tokenizer::open(plan().options().model); });
  return *state_->tokenizer;
}
const LoadReport& Engine::load_report() const noexcept {
  return state_->report;
}
int Engine::vocab_size() const noexcept {
  return static_cast<int>(state_->executor->vocab());
}
int64_t Engine::cache_length() const noexcept {
  return state_->plan.details().cache_length;
}

}  // namespace ktx
