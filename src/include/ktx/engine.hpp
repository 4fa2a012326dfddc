// The engine: a model loaded through its plan, ready to run sessions.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "ktx/plan.hpp"
#include "ktx/tokenizer.hpp"

namespace ktx {

namespace engine {
struct Access;
struct EngineState;
}  // namespace engine

/// Progress of loading, in bytes of the checkpoint; of Engine::finish_cache, in bytes written.
struct LoadProgress {
  std::string module;  // the one being loaded
  uint64_t done = 0, total = 0;
};

struct LoadOptions {
  /// Called from the loading thread as modules are packed.
  std::function<void(const LoadProgress&)> progress;
};

/// The time of a decode step with a number of CPU threads.
struct ThreadsTrial {
  int threads = 0;
  double seconds = 0;
};

/// What loading did.
struct LoadReport {
  double seconds = 0;
  uint64_t source_bytes = 0;  // read from the checkpoint
  uint64_t weight_bytes = 0;  // in memory, packed
  uint64_t cached_bytes = 0;  // of weight_bytes, taken from the weights cache
  /// On a machine with several NUMA nodes: how much the plan put on each, and how much of it the
  /// kernel says is there ("verified: node 0 12.3 GiB 100 %; …"), or why memory was not bound.
  /// Otherwise empty.
  std::string memory;
  /// CPU threads of decode steps, and the numbers that were tried if the plan left it to measuring.
  int decode_threads = 0;
  std::vector<ThreadsTrial> decode_trials;
  /// How fast experts are copied to GPUs, measured while loading, as text; empty: none are
  /// streamed.
  std::string streaming;
};

/// The routed experts that the CPU has computed in decode steps.
struct ExpertUse {
  int64_t layers = 0;   // MoE layers run, summed over all steps
  int64_t experts = 0;  // distinct experts run, summed over these layers
  uint64_t bytes = 0;   // of their packed weights, and of shared experts that ran with them
  double seconds = 0;   // spent in them
};

/// A loaded model, on which sessions run. Sessions keep it loaded: the weights are freed when the
/// Engine and all of its sessions are gone.
class Engine {
 public:
  /// Opens the checkpoint, quantizes and packs every module as the plan says. Throws ktx::Error:
  /// input for a broken checkpoint, environment when memory or a device is missing.
  explicit Engine(const Plan& plan, const LoadOptions& options = {});

  const Plan& plan() const noexcept;
  /// The plan's tokenizer, opened on first use. Throws ktx::Error: input when the model has none
  /// that ktx can read.
  const Tokenizer& tokenizer() const;
  const LoadReport& load_report() const noexcept;

  /// Packed weights are written to PlanOptions::weights_cache in the background. Waits until all
  /// are written, calling progress from time to time; without a cache, returns at once. Weights not
  /// yet written when the engine is destroyed are left for another start.
  void finish_cache(const std::function<void(const LoadProgress&)>& progress = {}) const;

  int vocab_size() const noexcept;        // floats in a row of logits
  int64_t cache_length() const noexcept;  // tokens that a session can hold
  /// The most experts per token that a request may ask for; 0: the model has no experts.
  int max_experts_per_token() const noexcept;

  /// Totals over all decode steps so far. Waits for a step that is running.
  ExpertUse decoded_experts() const;

 private:
  friend engine::Access;
  std::shared_ptr<engine::EngineState> state_;
};

}  // namespace ktx
