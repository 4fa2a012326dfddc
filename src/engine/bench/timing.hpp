// Times a call for benchmarks: short calls are repeated, and the median of several repetitions
// counts.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <vector>

namespace ktx::engine {

struct Timing {
  double median = 0, spread = 0;  // seconds of a call; spread relative to the median
};

template <class Call>
double seconds_of(const Call& call, int64_t calls) noexcept {
  const auto start = std::chrono::steady_clock::now();
  for (int64_t i = 0; i < calls; ++i) call();
  const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
  return time.count() / static_cast<double>(calls);
}

/// The first call is not counted.
template <class Call>
Timing measure(const Call& call, int repeat) {
  constexpr double least_seconds = 0.05;  // of a repetition
  const double warm_up = seconds_of(call, 1);
  const auto calls = static_cast<int64_t>(std::max(1.0, least_seconds / warm_up));
  std::vector<double> times;
  for (int i = 0; i < repeat; ++i) times.push_back(seconds_of(call, calls));
  std::sort(times.begin(), times.end());
  const double median = (times[(times.size() - 1) / 2] + times[times.size() / 2]) / 2;
  return {median, (times.back() - times.front()) / median};
}

}  // namespace ktx::engine
