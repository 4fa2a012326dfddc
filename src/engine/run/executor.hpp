// Runs a model's graph over the tokens of a step.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "core/base/buffer.hpp"
#include "core/graph/graph.hpp"
#include "core/hw/worker_pool.hpp"
#include "engine/load/weights.hpp"
#include "engine/run/commands.hpp"
#include "placement/plan.hpp"

namespace ktx::engine {

/// The graph's nodes in an order in which linear nodes that read the same value stand together, so
/// that one pass over the workers runs them all.
graph::Graph group_linears(graph::Graph graph);

/// Bytes that running a plan takes besides weights, KV cache and the values between ops.
struct StepMemory {
  uint64_t scratch = 0;      // of the kernels; one block, used by one after another
  uint64_t rope_tables = 0;  // for the plan's cache length
};
StepMemory step_memory(const placement::Plan& plan);

/// Owns the activations and scratch of one step; steps run one at a time.
class Executor {
 public:
  Executor(const placement::Plan& plan, const Weights& weights, hw::WorkerPool& pool);

  int64_t max_tokens() const noexcept { return max_tokens_; }
  int64_t vocab() const noexcept;

  /// Runs everything up to the last layer for step.tokens (1 to max_tokens()) tokens and appends
  /// them to the cache. False when `cancel` became true on the way: the cache then holds rows of an
  /// unfinished step beyond step.past, which the next step overwrites.
  bool run(const Step& step, const std::atomic<bool>& cancel) noexcept;

  /// Logits of rows [begin, begin + rows) of the last step: [rows, vocab()], valid until the next
  /// call. rows is at most graph::max_logit_rows.
  const float* logits(const Step& step, int64_t begin, int64_t rows) noexcept;

 private:
  void compile(const placement::Plan& plan, const Weights& weights);

  graph::Graph graph_;
  hw::WorkerPool& pool_;
  int64_t max_tokens_;
  base::Buffer values_, scratch_;
  std::vector<std::pair<graph::Rope, std::unique_ptr<ops::RopeTable>>> rope_tables_;
  std::vector<std::unique_ptr<Command>> body_, tail_;  // tail: from last_rows on
  ValueView logits_;
};

}  // namespace ktx::engine
