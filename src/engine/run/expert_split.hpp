// Which experts of a layer are streamed through a GPU while the CPU computes the others, so that
// both finish together.
#pragma once

#include <cstdint>
#include <span>

namespace ktx::engine {

/// Per second.
struct SplitRates {
  double copy_bytes = 0;  // from the CPU's memory to the GPU, while the CPU reads
  double read_bytes = 0;  // by the CPU, while the GPU copies
  double cpu_flops = 0, gpu_flops = 0;
};

/// What one step asks of the routed experts of one layer.
struct ExpertWork {
  std::span<const int32_t> tokens;      // [experts]
  std::span<const int32_t> residents;   // experts that lie on the GPU, ascending
  std::span<const int32_t> prefetched;  // experts that have been copied there for this step
  double expert_bytes = 0;
  double token_flops = 0;  // of one token in one expert
};

struct StreamedExpert {
  int32_t expert = 0, tokens = 0;

  friend bool operator==(const StreamedExpert&, const StreamedExpert&) = default;
};

struct SplitSeconds {
  double gpu = 0, cpu = 0;

  double both() const noexcept { return gpu > cpu ? gpu : cpu; }
};

struct ExpertSplit {
  /// The experts to stream, in the order in which they are to be copied, and those of the CPU:
  /// neither includes residents and experts without tokens.
  std::span<const StreamedExpert> streamed, rest;
  SplitSeconds predicted;
};

/// The split that minimizes the time of the slower side. Prefetched experts come first, then those
/// with most tokens: the GPU pays one copy per expert, the CPU pays per token. order: space for
/// [experts], which the result refers to.
ExpertSplit split_experts(const ExpertWork& work, const SplitRates& rates,
                          std::span<StreamedExpert> order) noexcept;

/// Rates corrected by how long both sides took: an exponential average with limited steps, so that
/// a single disturbed layer counts little. Not for `deterministic` plans, in which timing must not
/// decide which experts the GPU computes.
class MeasuredRates {
 public:
  explicit MeasuredRates(const SplitRates& rates) noexcept : rates_(rates) {}

  const SplitRates& rates() const noexcept { return rates_; }
  /// predicted: by splits with rates(), summed over the last layers. An idle side has 0.
  void add(const SplitSeconds& predicted, const SplitSeconds& elapsed) noexcept;

 private:
  SplitRates rates_;
};

}  // namespace ktx::engine
