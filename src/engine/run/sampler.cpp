// The filters, each on the candidates that the one before it left.
#include "engine/run/sampler.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "core/base/error.hpp"

namespace ktx::engine {

namespace {

constexpr double minus_infinity = -std::numeric_limits<double>::infinity();

template <class T>
void check(bool holds, const char* name, const char* expected, T found) {
  if (!holds)
    throw_input(std::string(name) + ": expected " + expected + ", found " + std::to_string(found),
                "sampling");
}

}  // namespace

Sampler::Sampler(const SamplerOptions& options) : options_(options), random_(options.seed) {
  const auto& o = options_;
  check(o.temperature >= 0 && std::isfinite(o.temperature), "temperature",
        "0 (greedy) or a positive number", o.temperature);
  check(o.top_k >= 0, "top-k", "0 (all) or a positive count", o.top_k);
  check(o.top_p > 0 && o.top_p <= 1, "top-p", "more than 0 and at most 1", o.top_p);
  check(o.min_p >= 0 && o.min_p <= 1, "min-p", "from 0 to 1", o.min_p);
  check(o.repetition_penalty > 0 && std::isfinite(o.repetition_penalty), "repetition penalty",
        "a positive number", o.repetition_penalty);
  check(o.repetition_window >= 0, "repetition window", "0 (all) or a positive count",
        o.repetition_window);
}

int32_t Sampler::sample(std::span<const float> logits, std::span<const int32_t> history) {
  candidates_.resize(logits.size());
  for (size_t i = 0; i < logits.size(); ++i)
    candidates_[i] = {std::isnan(logits[i]) ? minus_infinity : logits[i], static_cast<int32_t>(i)};
  if (options_.repetition_penalty != 1) penalize(history);
  const int32_t greedy = best();
  if (options_.temperature == 0) return greedy;
  const double best_logit = candidates_[static_cast<size_t>(greedy)].weight;
  if (std::isinf(best_logit)) return greedy;
  weigh(best_logit);
  if (options_.top_k > 0) keep_top_k();
  if (options_.top_p < 1) keep_top_p();
  if (options_.min_p > 0) keep_min_p();
  return draw();
}

void Sampler::penalize(std::span<const int32_t> history) {
  seen_.resize(std::max(seen_.size(), candidates_.size()), call_);
  if (++call_ == 0) {  // wrapped: marks of the first round would look new
    std::fill(seen_.begin(), seen_.end(), 0);
    call_ = 1;
  }
  const auto window = static_cast<size_t>(options_.repetition_window);
  if (window > 0 && window < history.size()) history = history.last(window);
  for (const int32_t id : history) {
    const auto i = static_cast<size_t>(id);
    if (id < 0 || i >= candidates_.size() || seen_[i] == call_) continue;
    seen_[i] = call_;
    double& logit = candidates_[i].weight;
    logit = logit > 0 ? logit / options_.repetition_penalty : logit * options_.repetition_penalty;
  }
}

int32_t Sampler::best() const {
  const auto found =
      std::max_element(candidates_.begin(), candidates_.end(),
                       [](const Candidate& a, const Candidate& b) { return a.weight < b.weight; });
  if (found == candidates_.end() || found->weight == minus_infinity)
    throw_bug("no token can be chosen: no logit of " + std::to_string(candidates_.size()) +
              " is a number above -inf");
  return found->id;
}

void Sampler::weigh(double best_logit) {
  for (auto& c : candidates_) c.weight = std::exp((c.weight - best_logit) / options_.temperature);
}

void Sampler::keep_top_k() {
  const auto k = std::min(static_cast<size_t>(options_.top_k), candidates_.size());
  const auto end = candidates_.begin() + static_cast<std::ptrdiff_t>(k);
  std::nth_element(candidates_.begin(), end - 1, candidates_.end(), before);
  candidates_.resize(k);
  std::sort(candidates_.begin(), candidates_.end(), before);
}

// Sorts only as much of the front as it takes to reach the probability.
void Sampler::keep_top_p() {
  double total = 0;
  for (const auto& c : candidates_) total += c.weight;
  const double enough = total * static_cast<double>(options_.top_p);
  double sum = 0;
  size_t sorted = 0;
  for (size_t chunk = 64; sorted < candidates_.size(); chunk *= 4) {
    const auto begin = candidates_.begin() + static_cast<std::ptrdiff_t>(sorted);
    const size_t end = std::min(candidates_.size(), sorted + chunk);
    const auto middle = candidates_.begin() + static_cast<std::ptrdiff_t>(end);
    std::partial_sort(begin, middle, candidates_.end(), before);
    for (; sorted < end; ++sorted) {
      sum += candidates_[sorted].weight;
      if (sum >= enough) {
        candidates_.resize(sorted + 1);
        return;
      }
    }
  }
}

void Sampler::keep_min_p() {
  // The best has weight 1.
  std::erase_if(candidates_,
                [&](const Candidate& c) { return c.weight < static_cast<double>(options_.min_p); });
}

int32_t Sampler::draw() {
  double total = 0;
  for (const auto& c : candidates_) total += c.weight;
  const double at = static_cast<double>(random_() >> 11) * 0x1p-53 * total;
  double sum = 0;
  const Candidate* last = &candidates_.front();
  for (const auto& c : candidates_) {
    if (c.weight == 0) continue;
    last = &c;
    sum += c.weight;
    if (sum > at) break;
  }
  return last->id;  // of rounding: sums may end a bit below the total
}

}  // namespace ktx::engine
