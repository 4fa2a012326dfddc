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

/// Where loading is: bytes of the checkpoint consumed, of those that have to be read. Of
/// Engine::finish_cache: bytes written.
struct LoadProgress {
  std::string module;  // being loaded
  uint64_t done = 0, total = 0;
};

struct LoadOptions {
  /// Called from the loading thread as modules are packed.
  std::function<void(const LoadProgress&)> progress;
};

/// What a decode step took with so many CPU workers.
struct ThreadsTrial {
  int threads = 0;
  double seconds = 0;
};

/// What loading did.
struct LoadReport {
  double seconds = 0;
  uint64_t source_bytes = 0;  // read from the checkpoint
  uint64_t weight_bytes = 0;  // in memory, packed
  uint64_t cached_bytes = 0;  // of these mapped from the cache
  /// On a machine of several NUMA nodes: what the plan put where, and how much of it the kernel
  /// says lies there ("verified: node 0 12.3 GiB 100 %; …"), or why nothing was bound. Else empty.
  std::string memory;
  /// CPU workers of decode steps, and how many were tried, if the plan left that to measuring.
  int decode_threads = 0;
  std::vector<ThreadsTrial> decode_trials;
  /// How fast experts are copied to GPUs, where the plan streams them: measured while loading.
  std::string streaming;
};

/// The routed experts that the CPU computed, layer by layer, step by step.
struct ExpertUse {
  int64_t layers = 0;   // one for each layer of each step
  int64_t experts = 0;  // distinct ones of each of these, in all
  uint64_t bytes = 0;   // of their packed weights, and of shared experts that ran with them
  double seconds = 0;
};

class Engine {
 public:
  /// Opens the checkpoint, quantizes and packs every module as the plan says.
  /// Throws ktx::Error: input for a broken checkpoint, environment when memory runs out.
  explicit Engine(const Plan& plan, const LoadOptions& options = {});

  const Plan& plan() const noexcept;
  /// The plan's, opened on first use. Throws input error when there is none that ktx can read.
  const Tokenizer& tokenizer() const;
  const LoadReport& load_report() const noexcept;

  /// Packed weights are written to PlanOptions::weights_cache behind the run: waits until all are,
  /// calling progress from time to time. Returns at once without a cache. What is not written when
  /// the engine goes away is left for another start.
  void finish_cache(const std::function<void(const LoadProgress&)>& progress = {}) const;

  int vocab_size() const noexcept;        // numbers in a logits row
  int64_t cache_length() const noexcept;  // tokens that a session can hold
  /// The most experts a token that a request may ask for; 0: the model has none.
  int max_experts_per_token() const noexcept;

  /// Of all decode steps so far. Waits for a step that is under way.
  ExpertUse decoded_experts() const;

 private:
  friend engine::Access;
  std::shared_ptr<engine::EngineState> state_;
};

}  // namespace ktx
