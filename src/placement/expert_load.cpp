// Binomial and hypergeometric chances.
#include "placement/expert_load.hpp"

#include <algorithm>
#include <cmath>

namespace ktx::placement {

namespace {

double log_choices(double n, double k) {
  return std::lgamma(n + 1) - std::lgamma(k + 1) - std::lgamma(n - k + 1);
}

}  // namespace

ExpertLoad::ExpertLoad(const Shape& shape) : up_to_(1) {
  const auto tokens = static_cast<double>(shape.tokens);
  const double p = std::clamp(shape.chance, 1e-12, 1 - 1e-12);
  // Counts further from the mean have a negligible probability.
  const double mean = tokens * p, spread = 10 * std::sqrt(mean) + 10;
  const auto first = static_cast<int64_t>(std::max(1.0, std::floor(mean - spread)));
  const auto last = static_cast<int64_t>(std::min(tokens, std::ceil(mean + spread)));
  for (int64_t n = first; n <= last; ++n) {
    const auto count = static_cast<double>(n);
    const double chance = std::exp(log_choices(tokens, count) + count * std::log(p) +
                                   (tokens - count) * std::log1p(-p));
    const bool few = n <= shape.few;
    const int64_t rows = few ? n : (n + shape.tile - 1) / shape.tile * shape.tile;
    ExpertSums sums = up_to_.back();
    sums.used += chance;
    sums.few += few ? chance : 0;
    sums.rows += chance * static_cast<double>(rows);
    up_to_.push_back(sums);
  }
}

ExpertSums ExpertLoad::fewest(double part) const {
  const double used = part * all().used;
  const auto above = std::ranges::lower_bound(up_to_, used, {}, &ExpertSums::used);
  if (above == up_to_.begin()) return {};
  if (above == up_to_.end()) return all();
  const ExpertSums &low = *std::prev(above), &high = *above;
  const double rest = (used - low.used) / (high.used - low.used);
  return {used, std::lerp(low.few, high.few, rest), std::lerp(low.rows, high.rows, rest)};
}

double slower_of_one_token(int experts, int used, int residents, double cpu, double gpu) {
  double mean = 0;
  for (int k = std::max(0, used - (experts - residents)); k <= std::min(used, residents); ++k) {
    const double chance =
        std::exp(log_choices(residents, k) + log_choices(experts - residents, used - k) -
                 log_choices(experts, used));
    mean += chance * std::max(cpu * (used - k) / used, gpu * k / used);
  }
  return mean;
}

}  // namespace ktx::placement
