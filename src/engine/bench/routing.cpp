// Draws without replacement: the greatest of log popularity plus Gumbel noise.
#include "engine/bench/routing.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>
#include <random>

namespace ktx::engine {

namespace {

constexpr double skew = 0.45;  // standard deviation of the logarithm of an expert's popularity

// More than 0, less than 1; the standard's distributions differ from library to library.
double uniform(std::mt19937_64& random) {
  return (static_cast<double>(random() >> 11) + 0.5) * 0x1p-53;
}

double normal(std::mt19937_64& random) {  // Box and Muller
  const double radius = std::sqrt(-2 * std::log(uniform(random)));
  return radius * std::cos(2 * std::numbers::pi * uniform(random));
}

}  // namespace

std::vector<int32_t> some_routes(int64_t tokens, int experts, int of_token) {
  std::mt19937_64 random(1);
  std::vector<double> popularity(static_cast<size_t>(experts)), score(popularity.size());
  for (auto& p : popularity) p = skew * normal(random);
  std::vector<int32_t> order(popularity.size()), routes;
  for (int64_t token = 0; token < tokens; ++token) {
    for (size_t i = 0; i < score.size(); ++i)
      score[i] = popularity[i] - std::log(-std::log(uniform(random)));
    std::iota(order.begin(), order.end(), 0);
    std::partial_sort(order.begin(), order.begin() + of_token, order.end(),
                      [&score](int32_t a, int32_t b) {
                        return score[static_cast<size_t>(a)] > score[static_cast<size_t>(b)];
                      });
    routes.insert(routes.end(), order.begin(), order.begin() + of_token);
  }
  return routes;
}

}  // namespace ktx::engine
