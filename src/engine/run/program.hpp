// A plan made ready to run in one of its phases: commands in order, with kernels, weights and the
// place of every value resolved once, while loading.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/device/memory.hpp"
#include "core/device/place.hpp"
#include "core/graph/graph.hpp"
#include "core/hw/worker_pool.hpp"
#include "engine/load/weights.hpp"
#include "engine/run/batch.hpp"
#include "engine/run/devices.hpp"
#include "engine/run/kv_store.hpp"
#include "engine/run/lowering.hpp"
#include "engine/run/rope_tables.hpp"
#include "ktx/profile.hpp"
#include "placement/plan.hpp"

namespace ktx::engine {

class Profile;
class Workspace;

/// How commands of a step come to their GPUs: one by one as the step advances, or recorded in a
/// graph that the whole step launches at once.
enum class Submission : uint8_t { direct, recorded };

/// A batch on its way: what commands read and write besides weights.
struct StepContext {
  const Batch& batch;
  Workspace& workspace;
  KvStore& cache;
  hw::WorkerPool& pool;
  int64_t rows = 0;  // that GPUs compute: the batch's, or in a recorded step at least as many
  Submission submission = Submission::direct;
  std::span<const int32_t> logit_rows;  // of the batch, those that the tail is run for
  Profile* profile = nullptr;           // null: nothing is timed
};

/// What a command is in a profile.
struct CommandLabel {
  std::string name;
  int layer = -1;  // as of a Span
  SpanKind kind = SpanKind::compute;
  SpanKind recorded_kind = SpanKind::compute;  // in a recorded step, where copies to a GPU wait
};

/// One node of the graph made ready, or several that one command runs. Immutable: steps may run it
/// for batches of their own.
class Command {
 public:
  explicit Command(int place) noexcept : place_(place) {}
  virtual ~Command() = default;
  /// On the CPU: does its work. On a GPU: submits it, in whose order it is done.
  virtual void run(const StepContext& step) const noexcept = 0;

  int place() const noexcept { return place_; }  // whose queue it uses
  const CommandLabel& label() const noexcept { return label_; }
  void set_label(CommandLabel label) { label_ = std::move(label); }

 private:
  int place_;
  CommandLabel label_;
};

/// Where a value is stored in every workspace: row t begins t * stride numbers after byte `offset`
/// of its place's block. (Routing: see graph::ValueLayout.)
struct ValueRef {
  int place = 0;
  graph::NumberType type = graph::NumberType::f32;
  bool routing = false;
  int64_t offset = 0, stride = 0, width = 0;
};

/// For each place and module, the index of each expert's matrices on that place: [experts], -1 if
/// they are elsewhere. Read in every step, so that experts can move between steps. Null: the place
/// holds all experts of the module, in order.
using ExpertSlots = std::vector<std::vector<const int32_t*>>;  // [places][modules], or empty

/// What may differ from a plan of one CPU place. Tests give several.
struct ProgramPlaces {
  ModulePlaces modules;
  ExpertSlots slots;
};

/// Where a plan's modules run in a phase; places: as places_of(plan) gives them.
ModulePlaces module_places(const placement::Plan& plan, Phase phase);

/// Bytes of each place that a workspace of such a program takes.
struct ProgramMemory {
  std::vector<int64_t> values;  // [places] those between the ops
  std::vector<size_t> scratch;  // [places] of the kernels
};
/// Rows of a program's steps at most.
struct MostRows {
  int64_t of_step = 0;      // of all sequences together
  int64_t of_sequence = 0;  // of one
};

/// weights: shapes are enough.
ProgramMemory program_memory(const placement::Plan& plan, const Weights& weights,
                             const ModulePlaces& places, const MostRows& most);

/// Immutable and shared by all steps.
class Program {
 public:
  /// most: for any step of the plan unless given. devices: of the places; null: the CPU alone.
  /// ropes: shared with other programs; null: its own.
  Program(const placement::Plan& plan, const Weights& weights, ProgramPlaces places = {},
          MostRows most = {}, const Devices* devices = nullptr, RopeTables* ropes = nullptr);
  ~Program();

  using Commands = std::span<const std::unique_ptr<Command>>;
  /// Up to the last layer, cut behind each: what stands before the first belongs to it.
  std::span<const Commands> layers() const noexcept { return layers_; }
  /// From last_rows on: runs once for every graph::max_logit_rows logit rows.
  Commands tail() const noexcept { return tail_; }

  bool on_gpu(const Command& command) const noexcept {
    return places()[static_cast<size_t>(command.place())].kind == device::DeviceKind::cuda;
  }
  std::span<const device::Place> places() const noexcept { return places_.modules.places; }
  const Devices* devices() const noexcept { return devices_; }
  std::span<const int64_t> value_bytes() const noexcept { return layout_.arena; }    // a place
  std::span<const size_t> scratch_bytes() const noexcept { return scratch_bytes_; }  // a place
  const ValueRef& logits() const noexcept { return logits_; }
  int64_t max_rows() const noexcept { return most_.of_step; }
  int64_t max_sequences() const noexcept { return max_sequences_; }
  int64_t max_pages() const noexcept { return max_pages_; }  // of a sequence
  int max_experts() const noexcept { return max_experts_; }  // of a layer
  /// The numbers of experts a token that layers have by default, each once.
  std::span<const int> default_experts() const noexcept { return default_experts_; }

 private:
  void compile(const placement::Plan& plan, const Weights& weights, RopeTables* ropes);

  ProgramPlaces places_;
  const Devices* devices_;
  graph::Graph graph_;
  graph::ValueLayout layout_;
  MostRows most_;
  int64_t max_sequences_, max_pages_;
  int max_experts_ = 0;
  std::vector<int> default_experts_;
  std::vector<size_t> scratch_bytes_;
  RopeTables own_ropes_;
  std::vector<std::unique_ptr<Command>> body_, tail_;
  std::vector<Commands> layers_;
  ValueRef logits_;
};

}  // namespace ktx::engine
