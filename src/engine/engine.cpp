// ktx::Engine: opening the checkpoint and loading it through the plan.
#include "ktx/engine.hpp"

#include <algorithm>
#include <chrono>

#include "core/base/error.hpp"
#include "core/base/log.hpp"
#include "core/base/text.hpp"
#include "engine/run/decode_threads.hpp"
#include "engine/source.hpp"
#include "engine/state.hpp"
#include "loader/checkpoint.hpp"

namespace ktx {

namespace {

// The workers of each NUMA node of the plan's machine, pinned to its CPUs if that is this machine,
// one hardware thread of each core first (NumaNode::cpus is ordered so). A plan for another machine
// runs here when this one has the instructions it uses; its CPU numbers mean nothing here.
std::vector<hw::PoolNode> pool_nodes(const Plan& plan) {
  const auto& details = engine::Access::details(plan);
  const auto& machine = details.machine;
  const auto here = hw::usable_isa();
  if (!machine.is_this_machine && machine.isa > here)
    throw_environment("the plan is for a machine with " + std::string(hw::name(machine.isa)) +
                          ", this one has " + std::string(hw::name(here)),
                      plan.options().machine.string());
  std::vector<hw::PoolNode> nodes;
  for (size_t n = 0; n < machine.nodes.size(); ++n)
    nodes.push_back({details.node_threads[n],
                     machine.is_this_machine ? machine.nodes[n].cpus : std::vector<int>{}});
  return nodes;
}

// The checkpoint as planning opened it; a header alone can't be loaded, so then the whole is
// opened.
std::shared_ptr<const loader::TensorSource> whole_source(const Plan& plan) {
  const auto& source = engine::Access::source(plan);
  if (!plan.options().header_only) return source;
  return engine::open_source(source->path(), {.overrides = plan.options().overrides});
}

}  // namespace

engine::EngineState::EngineState(const Plan& p, const LoadOptions& options)
    : plan(p), source(whole_source(p)), pool(pool_nodes(p)), devices(places_of(details), pool) {
  const auto start = std::chrono::steady_clock::now();
  WeightOptions loading{.cache = p.weights_cache(), .progress = {}, .gpus = {}};
  for (size_t place = 1; place < devices.places().size(); ++place)
    loading.gpus.push_back(&devices.queue(static_cast<int>(place)));
  if (options.progress)
    loading.progress = [&](const std::string& module, uint64_t done, uint64_t total) {
      options.progress({module, done, total});
    };
  weights = std::make_unique<Weights>(details, *source, pool, loading);
  // While the GPU is busy with attention nobody goes to sleep.
  if (devices.has_gpus()) pool.spin_for(std::chrono::milliseconds(2));
  programs = std::make_unique<Programs>(details, *weights, devices);
  cache = std::make_unique<KvStore>(details.model.info.caches, details.cache_format,
                                    details.cache_pages, details.machine,
                                    cache_queues(details, devices));
  scheduler = std::make_unique<Scheduler>(details, *programs, *cache, pool);
  if (details.decode_threads == 0) choose_decode_threads();
  report.decode_threads = scheduler->decode_threads();
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  report.source_bytes = weights->source_bytes();
  report.weight_bytes = weights->bytes();
  report.cached_bytes = weights->cached_bytes();
  report.memory = weights->memory().verified();
  report.streaming = devices.streaming();
  base::log(LogLevel::info, "read " + base::format_bytes(report.source_bytes) + ", packed into " +
                                base::format_bytes(report.weight_bytes) + " in " +
                                std::to_string(report.seconds) + " s" +
                                (report.memory.empty() ? "" : "; memory " + report.memory));
}

void engine::EngineState::choose_decode_threads() {
  // Where GPUs decode alone nothing but sampling is left, which more workers would only delay: 64
  // took 4 ms of a step of 64 cores.
  constexpr int sampling_threads = 8;
  const auto on_cpu = [](const auto& planned) { return planned.device == "cpu"; };
  if (std::ranges::none_of(details.modules, on_cpu))
    return scheduler->set_decode_threads(std::min(pool.threads(), sampling_threads));
  scheduler->call([this](const Scheduler::Resources& resources) {
    report.decode_trials =
        measure_decode_threads({*programs, *cache, pool, resources.decode, resources.recording});
    if (!report.decode_trials.empty())
      scheduler->set_decode_threads(choose_threads(report.decode_trials));
    resources.decode.expert_use = {};
  });
}

Engine::Engine(const Plan& plan, const LoadOptions& options)
    : state_(std::make_shared<engine::EngineState>(plan, options)) {}

const Plan& Engine::plan() const noexcept {
  return state_->plan;
}
const Tokenizer& Engine::tokenizer() const {
  std::call_once(state_->tokenizer_opened,
                 [this] { state_->tokenizer = state_->plan.tokenizer(); });
  return *state_->tokenizer;
}
const LoadReport& Engine::load_report() const noexcept {
  return state_->report;
}
void Engine::finish_cache(const std::function<void(const LoadProgress&)>& progress) const {
  state_->weights->finish_cache([&](uint64_t done, uint64_t total) {
    if (progress) progress({"packed weights", done, total});
  });
}
int Engine::vocab_size() const noexcept {
  return static_cast<int>(state_->programs->of(engine::Phase::decode).logits().width);
}
int64_t Engine::cache_length() const noexcept {
  return state_->details.cache_length;
}
int Engine::max_experts_per_token() const noexcept {
  return state_->details.max_experts_per_token;
}
ExpertUse Engine::decoded_experts() const {
  ExpertUse use;
  state_->scheduler->call(
      [&](const engine::Scheduler::Resources& resources) { use = resources.decode.expert_use; });
  return use;
}

}  // namespace ktx
