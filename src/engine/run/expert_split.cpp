// Which experts of a layer are streamed through a GPU while the CPU computes the others.
#include "engine/run/expert_split.hpp"

#include <algorithm>
#include <cmath>

namespace ktx::engine {

namespace {

bool is_in(std::span<const int32_t> experts, int32_t expert) noexcept {
  return std::find(experts.begin(), experts.end(), expert) != experts.end();
}

double cpu_seconds(const ExpertWork& work, const SplitRates& rates, int32_t tokens) noexcept {
  return std::max(work.expert_bytes / rates.read_bytes,
                  work.token_flops * tokens / rates.cpu_flops);
}

/// How much faster a side was than predicted.
double speed(double predicted, double elapsed) noexcept {
  constexpr double weight = 0.25, most = 2;  // of the newest layer; limit for one layer
  if (predicted <= 0 || elapsed <= 0) return 1;
  return std::pow(std::clamp(predicted / elapsed, 1 / most, most), weight);
}

}  // namespace

ExpertSplit split_experts(const ExpertWork& work, const SplitRates& rates,
                          std::span<StreamedExpert> order) noexcept {
  size_t count = 0;
  int64_t gpu_tokens = 0;  // of residents; in the loop, plus all experts before n
  for (int32_t expert = 0; expert < static_cast<int32_t>(work.tokens.size()); ++expert) {
    const int32_t tokens = work.tokens[static_cast<size_t>(expert)];
    if (std::binary_search(work.residents.begin(), work.residents.end(), expert))
      gpu_tokens += tokens;
    else if (tokens > 0)
      order[count++] = {expert, tokens};
  }
  order = order.first(count);
  const auto copied = std::partition(order.begin(), order.end(), [&](const StreamedExpert& e) {
    return is_in(work.prefetched, e.expert);
  });
  const auto prefetched = static_cast<size_t>(copied - order.begin());
  const auto by_tokens = [](const StreamedExpert& a, const StreamedExpert& b) noexcept {
    return a.tokens != b.tokens ? a.tokens > b.tokens : a.expert < b.expert;
  };
  std::sort(order.begin(), copied, by_tokens);
  std::sort(copied, order.end(), by_tokens);

  for (const auto& expert : order) gpu_tokens += expert.tokens;
  size_t best = count;
  SplitSeconds least, now;  // now: the first n are streamed
  for (size_t n = count;; --n) {
    const size_t copies = n - std::min(n, prefetched);
    now.gpu = std::max(static_cast<double>(copies) * work.expert_bytes / rates.copy_bytes,
                       work.token_flops * static_cast<double>(gpu_tokens) / rates.gpu_flops);
    if (n == count || now.both() <= least.both()) {
      best = n;
      least = now;
    }
    if (n == 0) break;
    gpu_tokens -= order[n - 1].tokens;
    now.cpu += cpu_seconds(work, rates, order[n - 1].tokens);
  }
  return {order.first(best), order.subspan(best), least};
}

void MeasuredRates::add(const SplitSeconds& predicted, const SplitSeconds& elapsed) noexcept {
  const double gpu = speed(predicted.gpu, elapsed.gpu), cpu = speed(predicted.cpu, elapsed.cpu);
  rates_.copy_bytes *= gpu;
  rates_.gpu_flops *= gpu;
  rates_.read_bytes *= cpu;
  rates_.cpu_flops *= cpu;
}

}  // namespace ktx::engine
