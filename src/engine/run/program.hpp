// A plan made ready to run: commands in order, with kernels, weights and the place of every value
// resolved once, while loading.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "core/device/place.hpp"
#include "core/graph/graph.hpp"
#include "core/hw/worker_pool.hpp"
#include "engine/load/weights.hpp"
#include "engine/run/batch.hpp"
#include "engine/run/kv_store.hpp"
#include "ops/attention/rope.hpp"
#include "placement/plan.hpp"

namespace ktx::engine {

class Workspace;

/// A batch on its way: what commands read and write besides weights.
struct StepContext {
  const Batch& batch;
  Workspace& workspace;
  KvStore& cache;
  hw::WorkerPool& pool;
  std::span<const int32_t> logit_rows;  // of the batch, those that the tail is run for
};

/// One node of the graph made ready, or several linear nodes that read the same value. Immutable:
/// steps may run it for batches of their own.
class Command {
 public:
  virtual ~Command() = default;
  virtual void run(const StepContext& step) const noexcept = 0;
};

/// Where the numbers of a value lie in every workspace: row t is at offset + t * stride of its
/// place's block, in f32 numbers. (Routing: see graph::ValueLayout.)
struct ValueRef {
  int place = 0;
  int64_t offset = 0, stride = 0, width = 0;
};

/// Which of its matrices on a place an expert is, for each place and module: [experts], -1 where it
/// is elsewhere. Read at every step, so that experts can move between steps. Null: a place holds
/// all experts of the module, in order.
using ExpertSlots = std::vector<std::vector<const int32_t*>>;  // [places][modules], or empty

/// What may differ from a plan of one CPU place. Tests give several.
struct ProgramPlaces {
  std::vector<device::Place> places{device::Place{}};
  std::vector<std::vector<int>>
      of_module;  // [modules] indices into places; empty: all on the first
  ExpertSlots slots;
};

/// Bytes that running a plan takes besides weights, KV cache and the values between ops.
struct StepMemory {
  uint64_t scratch = 0;      // of one workspace
  uint64_t rope_tables = 0;  // for the plan's cache length
};
StepMemory step_memory(const placement::Plan& plan);

/// Immutable and shared by all steps.
class Program {
 public:
  Program(const placement::Plan& plan, const Weights& weights, ProgramPlaces places = {});

  using Commands = std::span<const std::unique_ptr<Command>>;
  /// Up to the last layer, cut behind each: what stands before the first belongs to it.
  std::span<const Commands> layers() const noexcept { return layers_; }
  /// From last_rows on: runs once for every graph::max_logit_rows logit rows.
  Commands tail() const noexcept { return tail_; }

  std::span<const device::Place> places() const noexcept { return places_.places; }
  std::span<const int64_t> value_numbers() const noexcept { return layout_.arena; }  // f32, a place
  std::span<const size_t> scratch_bytes() const noexcept { return scratch_bytes_; }  // a place
  const ValueRef& logits() const noexcept { return logits_; }
  int64_t max_rows() const noexcept { return max_rows_; }
  int64_t max_sequences() const noexcept { return max_sequences_; }

 private:
  void compile(const placement::Plan& plan, const Weights& weights);
  const ops::RopeTable* rope_table(const graph::Rope& rope, int64_t positions);

  ProgramPlaces places_;
  graph::Graph graph_;
  graph::ValueLayout layout_;
  int64_t max_rows_, max_sequences_;
  std::vector<size_t> scratch_bytes_;
  std::vector<std::pair<graph::Rope, std::unique_ptr<ops::RopeTable>>> rope_tables_;
  std::vector<std::unique_ptr<Command>> body_, tail_;
  std::vector<Commands> layers_;
  ValueRef logits_;
};

}  // namespace ktx::engine
