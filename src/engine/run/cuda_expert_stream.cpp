// Copies routed experts from the CPU's memory to a GPU, group by group, while the GPU computes the
// groups that have arrived.
#include "engine/run/cuda_expert_stream.hpp"

#include <algorithm>
#include <array>

#include "core/base/error.hpp"
#include "core/device/cuda.hpp"
#include "ops/matmul/layout_x16.hpp"

namespace ktx::engine {

namespace {

/// Where the matrices of a role begin in a slot, and the bytes from one expert to the next. Large
/// enough for every layer, so that the ring's table of addresses never changes.
struct RolePlace {
  int64_t offset = 0, stride = 0;
};
struct SlotLayout {
  RolePlace gate, up, down;
  int64_t bytes = 0;

  explicit SlotLayout(const ExpertStreamShape& shape) noexcept {
    gate = {0, shape.gate_bytes};
    up = {shape.group * shape.gate_bytes, shape.gate_bytes};
    down = {2 * shape.group * shape.gate_bytes, shape.down_bytes};
    bytes = shape.group * (2 * shape.gate_bytes + shape.down_bytes);
  }
};

/// The index of the expert's matrix here; -1: it is stored elsewhere.
int64_t index_of(const LoadedWeight& weight, int32_t expert) noexcept {
  return weight.slots.empty() ? expert : weight.slots[static_cast<size_t>(expert)];
}

/// Copies to a GPU from the CPU's memory, which is pinned in pieces.
struct PinnedCopies {
  device::Queue& queue;
  size_t piece;

  void copy(std::byte* to, const std::byte* from, int64_t bytes) const noexcept {
    for (auto left = static_cast<size_t>(bytes); left > 0;) {
      const size_t part = std::min(left, piece - reinterpret_cast<uintptr_t>(from) % piece);
      queue.copy(to, from, part);
      to += part, from += part, left -= part;
    }
  }

  /// Copies the experts' matrices, `stride` bytes apart: in pieces if several NUMA nodes hold rows
  /// of them, and in one copy if they are adjacent in source and destination. Returns the bytes.
  int64_t copy_matrices(const LoadedWeight& weight, std::span<const StreamedExpert> experts,
                        std::byte* to, int64_t stride) const noexcept {
    const int64_t group_bytes = ops::x16_group_bytes(*ops::x16_format(weight.format), weight.cols);
    const ops::NodeRows whole{weight.data, 0, weight.rows, weight.matrix_bytes};
    const std::span<const ops::NodeRows> nodes =
        weight.nodes.empty() ? std::span(&whole, 1) : std::span(weight.nodes);
    int64_t row = 0;  // rows before it are copied; a node without further rows is a replica
    int64_t at = 0;   // in each matrix
    for (const ops::NodeRows& node : nodes) {
      if (node.row_begin != row || node.row_end == row) continue;
      const int64_t groups = (node.row_end - row + ops::row_group - 1) / ops::row_group;
      const bool dense = node.matrix_bytes == stride && groups * group_bytes == stride;
      for (size_t begin = 0, end = 0; begin < experts.size(); begin = end) {
        const int64_t first = index_of(weight, experts[begin].expert);
        do ++end;
        while (dense && end < experts.size() &&
               index_of(weight, experts[end].expert) == first + static_cast<int64_t>(end - begin));
        copy(to + static_cast<int64_t>(begin) * stride + at, node.data + first * node.matrix_bytes,
             static_cast<int64_t>(end - begin) * groups * group_bytes);
      }
      row = node.row_end;
      at += groups * group_bytes;
    }
    return at * static_cast<int64_t>(experts.size());
  }
};

}  // namespace

/// Measures work in queues by pairs of events, which are read once they have passed.
class ExpertStream::Timer {
 public:
  explicit Timer(device::Place place) {
    const device::CurrentGpu current(place.index);
    for (Span& span : spans_)
      for (cudaEvent_t* event : {&span.begin, &span.end})
        device::check(cudaEventCreate(event), "making an event");
  }
  ~Timer() {
    for (const Span& span : spans_) {
      cudaEventDestroy(span.begin);
      cudaEventDestroy(span.end);
    }
  }

  /// submit() enqueues work and returns the bytes that it copies. If all spans are in use, the work
  /// is neither timed nor counted.
  template <class Submit>
  void time(device::Queue& queue, double ExpertStreamTimes::*seconds,
            const Submit& submit) noexcept {
    collect();
    Span* span = used_ < spans_.size() ? &spans_[(first_ + used_) % spans_.size()] : nullptr;
    if (span != nullptr) cudaEventRecord(span->begin, device::stream_of(queue));
    const int64_t bytes = submit();
    if (span == nullptr) return;
    cudaEventRecord(span->end, device::stream_of(queue));
    span->seconds = seconds;
    span->bytes = bytes;
    ++used_;
  }

  const ExpertStreamTimes& collect() noexcept {
    for (; used_ > 0; --used_, first_ = (first_ + 1) % spans_.size()) {
      const Span& span = spans_[first_];
      if (cudaEventQuery(span.end) != cudaSuccess) {
        if (cudaPeekAtLastError() == cudaErrorNotReady) cudaGetLastError();  // that is no failure
        break;
      }
      float milliseconds = 0;
      cudaEventElapsedTime(&milliseconds, span.begin, span.end);
      times_.*span.seconds += 1e-3 * static_cast<double>(milliseconds);
      times_.bytes += span.bytes;
    }
    return times_;
  }

 private:
  struct Span {
    cudaEvent_t begin = nullptr, end = nullptr;
    double ExpertStreamTimes::*seconds = nullptr;
    int64_t bytes = 0;
  };
  std::array<Span, 512> spans_;  // more than the groups of two layers
  size_t first_ = 0, used_ = 0;
  ExpertStreamTimes times_;
};

ExpertStream::ExpertStream(device::Queue& compute, const ExpertStreamShape& shape, Timed timed)
    : shape_(shape), compute_(compute), copies_(device::make_queue(compute.place())) {
  require(shape.slots >= 2 && shape.group >= 1 &&
              shape.slots * shape.group <= ops::cuda::most_expert_slots,
          "a ring of experts has 2 slots or more, and as many experts as its table may have");
  const SlotLayout layout(shape);
  ring_ = device::alloc(compute.place(), static_cast<size_t>(shape.slots * layout.bytes));
  std::vector<ops::cuda::ExpertWeights> table;
  for (int slot = 0; slot < shape.slots; ++slot) {
    const auto* base = ring_.as<const uint8_t>() + slot * layout.bytes;
    const auto at = [&](const RolePlace& role, int i) {
      return base + role.offset + i * role.stride;
    };
    for (int i = 0; i < shape.group; ++i)
      table.push_back({at(layout.gate, i), at(layout.up, i), at(layout.down, i)});
    slots_.push_back({copies_->make_event(), compute.make_event()});
  }
  table_ = device::alloc(compute.place(), table.size() * sizeof(table[0]));
  copies_->copy(table_.data(), table.data(), table_.size());
  copies_->synchronize();
  experts_.reserve(ops::cuda::most_experts);
  prefetched_.reserve(table.size());
  if (timed == Timed::yes) timer_ = std::make_unique<Timer>(compute.place());
}

ExpertStream::~ExpertStream() = default;

int ExpertStream::take_slot() noexcept {
  const int slot = next_;
  next_ = (next_ + 1) % shape_.slots;
  return slot;
}

/// Sorts the experts of the slot that begins at `begin` by number, so that more of them are
/// adjacent in memory.
std::span<StreamedExpert> ExpertStream::group_at(size_t begin) noexcept {
  const size_t count = std::min(static_cast<size_t>(shape_.group), experts_.size() - begin);
  const auto group = std::span(experts_).subspan(begin, count);
  std::sort(group.begin(), group.end(),
            [](const StreamedExpert& a, const StreamedExpert& b) noexcept {
              return a.expert < b.expert;
            });
  return group;
}

/// Puts the experts in the order in which they are computed and assigns ring slots to them. Returns
/// how many of them, the first ones, are in the ring already.
int ExpertStream::arrange(const LayerExperts& layer,
                          std::span<const StreamedExpert> experts) noexcept {
  const auto ready = prefetched(layer);
  experts_.clear();
  for (size_t i = 0; i < ready.size(); ++i) {
    const auto found =
        std::find_if(experts.begin(), experts.end(),
                     [&](const StreamedExpert& e) noexcept { return e.expert == ready[i]; });
    if (found == experts.end()) continue;
    const int slot = (prefetched_slot_ + static_cast<int>(i) / shape_.group) % shape_.slots;
    order_.slot[experts_.size()] =
        static_cast<uint8_t>(slot * shape_.group + static_cast<int>(i) % shape_.group);
    experts_.push_back(*found);
  }
  const size_t hits = experts_.size();
  for (const StreamedExpert& expert : experts)
    if (std::find(ready.begin(), ready.end(), expert.expert) == ready.end())
      experts_.push_back(expert);
  for (size_t begin = hits; begin < experts_.size();) {
    const size_t count = group_at(begin).size();
    const int first = take_slot() * shape_.group;
    for (size_t i = 0; i < count; ++i, ++begin)
      order_.slot[begin] = static_cast<uint8_t>(first + static_cast<int>(i));
  }
  for (size_t i = 0; i < experts_.size(); ++i)
    order_.expert[i] = static_cast<uint16_t>(experts_[i].expert);
  order_.count = static_cast<int>(experts_.size());
  return static_cast<int>(hits);
}

void ExpertStream::run(const LayerExperts& layer, std::span<const StreamedExpert> experts,
                       ops::cuda::MoeArgs args) noexcept {
  args.table = table_.as<const ops::cuda::ExpertWeights>();
  args.gate_up = layer.gate->format;
  args.down = layer.down->format;
  const int hits = arrange(layer, experts);
  prefetched_layer_ = nullptr;
  profiled(profile_, "experts", Profile::Lane::main, SpanKind::compute, compute_,
           [&] { ops::cuda::moe_begin(args, order_, compute_); });
  const auto slot_of = [&](int i) { return order_.slot[static_cast<size_t>(i)] / shape_.group; };
  for (int begin = 0, end = 0; begin < order_.count; begin = end) {
    const int slot = slot_of(begin), last = begin < hits ? hits : order_.count;
    while (end < last && slot_of(end) == slot) ++end;
    if (begin >= hits)
      fetch(layer, slot,
            std::span(experts_).subspan(static_cast<size_t>(begin),
                                        static_cast<size_t>(end - begin)));
    compute(args, slot, begin, end);
  }
}

void ExpertStream::time_products(const std::function<void()>& submit) noexcept {
  if (timer_ == nullptr) return submit();
  timer_->time(compute_, &ExpertStreamTimes::computing, [&] {
    submit();
    return int64_t{0};
  });
}

void ExpertStream::prefetch(const LayerExperts& layer, std::span<const int32_t> experts) noexcept {
  const auto most = static_cast<size_t>(shape_.slots * shape_.group);
  experts_.clear();
  for (const int32_t expert : experts)
    if (experts_.size() < most && index_of(*layer.gate, expert) >= 0)
      experts_.push_back({expert, 0});
  prefetched_layer_ = layer.gate;
  prefetched_.clear();
  prefetched_slot_ = next_;
  while (prefetched_.size() < experts_.size()) {
    const auto group = group_at(prefetched_.size());
    fetch(layer, take_slot(), group);
    for (const StreamedExpert& expert : group) prefetched_.push_back(expert.expert);
  }
}

std::span<const int32_t> ExpertStream::prefetched(const LayerExperts& layer) const noexcept {
  if (layer.gate != prefetched_layer_) return {};
  return prefetched_;
}

/// Copies a group into a slot when its last one has been computed.
void ExpertStream::fetch(const LayerExperts& layer, int slot,
                         std::span<const StreamedExpert> experts) noexcept {
  Slot& events = slots_[static_cast<size_t>(slot)];
  copies_->wait(*events.freed);
  const auto copy = [&] {
    const PinnedCopies copies{*copies_, shape_.pinned_piece};
    const SlotLayout layout(shape_);
    std::byte* base = ring_.data() + slot * layout.bytes;
    int64_t bytes = 0;
    for (const auto& [weight, role] :
         {std::pair{layer.gate, layout.gate}, std::pair{layer.up, layout.up},
          std::pair{layer.down, layout.down}})
      bytes += copies.copy_matrices(*weight, experts, base + role.offset, role.stride);
    return bytes;
  };
  profiled(profile_, "experts", Profile::Lane::copies, SpanKind::copy, *copies_, [&] {
    if (timer_ != nullptr)
      timer_->time(*copies_, &ExpertStreamTimes::copying, copy);
    else
      copy();
  });
  copies_->record(*events.copied);
}

/// Runs experts [begin, end) of the order, which are in one slot: at a time, as many as scratch has
/// space for pairs of tokens and experts.
void ExpertStream::compute(const ops::cuda::MoeArgs& args, int slot, int begin, int end) noexcept {
  Slot& events = slots_[static_cast<size_t>(slot)];
  compute_.wait(*events.copied);
  const auto products = [&] {
    while (begin < end) {
      int64_t pairs = 0;
      int until = begin;
      do pairs += experts_[static_cast<size_t>(until++)].tokens;
      while (until < end &&
             pairs + experts_[static_cast<size_t>(until)].tokens <= args.scratch_pairs);
      ops::cuda::moe_part(args, begin, until, compute_);
      begin = until;
    }
    return int64_t{0};
  };
  profiled(profile_, "experts", Profile::Lane::main, SpanKind::compute, compute_, [&] {
    if (timer_ != nullptr)
      timer_->time(compute_, &ExpertStreamTimes::computing, products);
    else
      products();
  });
  compute_.record(*events.freed);
}

ExpertStreamTimes ExpertStream::times() noexcept {
  return timer_ == nullptr ? ExpertStreamTimes{} : timer_->collect();
}

}  // namespace ktx::engine
