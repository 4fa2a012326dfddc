// Streams routed experts from CPU memory to a GPU, group by group, while the GPU computes the
// groups that have arrived.
//
// A ring of slots, each for one group of experts. Copies run in a queue of their own; two events
// per slot synchronize it with the compute queue: "copied" before a group is computed, and "freed"
// before its slot is reused. The CPU never waits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "core/device/memory.hpp"
#include "core/device/queue.hpp"
#include "engine/load/weights.hpp"
#include "engine/run/expert_split.hpp"
#include "engine/run/profile.hpp"
#include "ops/moe/cuda.hpp"

namespace ktx::engine {

/// The matrices in CPU memory of all experts of a layer that are ever streamed: in Layout::x16, and
/// pinned, because copies from unpinned memory would block the CPU.
struct LayerExperts {
  const LoadedWeight* gate = nullptr;
  const LoadedWeight* up = nullptr;
  const LoadedWeight* down = nullptr;
};

struct ExpertStreamShape {
  /// Packed bytes of a matrix in the layer whose matrices are largest; up is as large as gate.
  int64_t gate_bytes = 0, down_bytes = 0;
  int slots = 4;  // at least 2
  int group = 4;  // experts in a slot; slots * group at most ops::cuda::most_expert_slots
  size_t pinned_piece = engine::pinned_piece;  // no copy crosses a multiple of it
};

/// Totals since the stream was created.
struct ExpertStreamTimes {
  int64_t bytes = 0;     // copied
  double copying = 0;    // seconds of these copies
  double computing = 0;  // seconds of the experts' products
};

enum class Timed { no, yes };

class ExpertStream {
 public:
  /// compute: the compute queue, which must outlive the stream. Throws environment error.
  ExpertStream(device::Queue& compute, const ExpertStreamShape& shape, Timed timed = Timed::no);
  ~ExpertStream();

  /// Bytes of GPU memory. Inline, so that plans can be made in builds without CUDA.
  static constexpr int64_t bytes(const ExpertStreamShape& shape) noexcept {
    return shape.slots * shape.group *
           (2 * shape.gate_bytes + shape.down_bytes +
            static_cast<int64_t>(sizeof(ops::cuda::ExpertWeights)));
  }

  /// y = (add or 0) + these experts' outputs for their tokens, in the compute queue; copies begin
  /// at once. An expert's tokens are those whose ids name it, as many as `experts` says. The table
  /// and formats of args are filled in here; scratch needs space for at least as many pairs as
  /// there are tokens.
  void run(const LayerExperts& layer, std::span<const StreamedExpert> experts,
           ops::cuda::MoeArgs args) noexcept;
  /// While it is not null, copies and products are recorded as spans of the running command.
  void set_profile(Profile* profile) noexcept { profile_ = profile; }

  /// Copies the first of these experts that are in the CPU's memory, as many as the ring holds,
  /// once earlier work has freed the slots. If the next run() is of this layer, it begins with
  /// those of them that it needs; the others are dropped.
  void prefetch(const LayerExperts& layer, std::span<const int32_t> experts) noexcept;
  /// Experts of a layer that are already in the ring, so that run() would not copy them.
  std::span<const int32_t> prefetched(const LayerExperts& layer) const noexcept;

  /// submit() enqueues products of resident experts in the compute queue; their time is counted
  /// like that of streamed ones.
  void time_products(const std::function<void()>& submit) noexcept;

  /// Blocks the caller until all is done. Throws environment error when the GPU has failed.
  void wait_for_copies() { copies_->synchronize(); }

  /// Requires Timed::yes. Does not wait: work that is still running is counted by a later call.
  ExpertStreamTimes times() noexcept;

 private:
  struct Slot {
    std::unique_ptr<device::Event> copied, freed;
  };
  class Timer;

  int take_slot() noexcept;
  std::span<StreamedExpert> group_at(size_t begin) noexcept;
  int arrange(const LayerExperts& layer, std::span<const StreamedExpert> experts) noexcept;
  void fetch(const LayerExperts& layer, int slot, std::span<const StreamedExpert> experts) noexcept;
  void compute(const ops::cuda::MoeArgs& args, int slot, int begin, int end) noexcept;

  ExpertStreamShape shape_;
  device::Queue& compute_;
  std::unique_ptr<device::Queue> copies_;
  device::Block ring_;
  device::Block table_;  // [slots * group] where each expert of the ring lies: written once
  std::vector<Slot> slots_;
  int next_ = 0;  // slot

  const LoadedWeight* prefetched_layer_ = nullptr;  // its gate
  std::vector<int32_t> prefetched_;                 // the groups of the slots, one after another
  int prefetched_slot_ = 0;                         // the first one

  // Of the current layer.
  std::vector<StreamedExpert> experts_;  // as they are copied and computed
  ops::cuda::ExpertOrder order_;         // the same for the GPU
  std::unique_ptr<Timer> timer_;         // null: nothing is timed
  Profile* profile_ = nullptr;
};

}  // namespace ktx::engine
