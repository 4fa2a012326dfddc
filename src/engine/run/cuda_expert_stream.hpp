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
  size_t pinned_piece = engine::pinned_piece;  // copies cross no address that is a multiple of it
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

  /// y = add, or 0, + what these experts give to their tokens, in the queue of the computation;
  /// copies begin at once. An expert's tokens are those whose ids name it: all of them, as many as
  /// `experts` says. Of args, table and formats are filled in here; scratch has space for as many
  /// pairs as there are tokens, or more.
  void run(const LayerExperts& layer, std::span<const StreamedExpert> experts,
           ops::cuda::MoeArgs args) noexcept;
  /// Until it is null, copies and products are spans of this profile, of the command that runs.
  void set_profile(Profile* profile) noexcept { profile_ = profile; }

  /// Copies the first of these experts that lie in the CPU's memory, as many as the ring holds, as
  /// soon as what has been run leaves its slots. If the next run() is of this layer it begins with
  /// those that it is asked for; the others are forgotten.
  void prefetch(const LayerExperts& layer, std::span<const int32_t> experts) noexcept;
  /// Experts of a layer that its run() would not copy.
  std::span<const int32_t> prefetched(const LayerExperts& layer) const noexcept;

  /// submit() gives the computation's queue products of experts that stay on the GPU: their time
  /// counts as that of the others.
  void time_products(const std::function<void()>& submit) noexcept;

  /// The caller waits. Throws environment error when the GPU has failed.
  void wait_for_copies() { copies_->synchronize(); }

  /// With Timed::yes; waits for nothing: what is still running is counted by a later call.
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
  std::vector<int32_t> prefetched_;                 // a slot's group after the other
  int prefetched_slot_ = 0;                         // the first one

  // Of the layer at hand.
  std::vector<StreamedExpert> experts_;  // as they are copied and computed
  ops::cuda::ExpertOrder order_;         // the same for the GPU
  std::unique_ptr<Timer> timer_;         // null: nothing is timed
  Profile* profile_ = nullptr;
};

}  // namespace ktx::engine
