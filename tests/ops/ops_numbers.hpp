// Random rows and comparisons for the tests of ops.
#pragma once

#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

namespace ktx::test {

/// Normal numbers of standard deviation `scale`, the same on every run.
inline std::vector<float> random_floats(int64_t n, uint32_t seed, float scale = 1) {
  std::mt19937 generator(seed);
  std::vector<float> result(static_cast<size_t>(n));
  for (float& x : result) {
    // Sum of uniforms rather than std::normal_distribution, which libraries define differently.
    double sum = -6;
    for (int i = 0; i < 12; ++i) sum += generator() / 4294967296.0;
    x = scale * static_cast<float>(sum);
  }
  return result;
}

/// |a - b| / |b| over all numbers; 0 when both are all zero, infinity when a number is not finite.
inline double relative_distance(const std::vector<float>& a, const std::vector<float>& b) {
  double difference = 0, norm = 0;
  for (size_t i = 0; i < b.size(); ++i) {
    if (!std::isfinite(a[i])) return INFINITY;
    difference += (double(a[i]) - b[i]) * (double(a[i]) - b[i]);
    norm += double(b[i]) * b[i];
  }
  if (difference == 0) return 0;
  return std::sqrt(difference / norm);
}

}  // namespace ktx::test
