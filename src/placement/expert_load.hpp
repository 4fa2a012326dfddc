// How the tokens of a step are distributed over a layer's routed experts, assuming uniform routing.
#pragma once

#include <cstdint>
#include <vector>

namespace ktx::placement {

/// Sums over a subset of a layer's experts.
struct ExpertSums {
  double used = 0;  // experts that have tokens
  double few = 0;   // of these, experts with few enough tokens for a kernel of few rows
  double rows = 0;  // rows multiplied: tokens, rounded up to whole tiles for the other experts
};

/// Tokens choose experts at random, so the number of tokens of an expert is binomially distributed.
class ExpertLoad {
 public:
  struct Shape {
    int64_t tokens = 1;
    double chance = 0;  // probability that a token chooses a given expert
    int64_t few = 0;    // the most tokens of an expert for a kernel of few rows
    int64_t tile = 1;   // rows are multiplied in multiples of this
  };
  explicit ExpertLoad(const Shape& shape);

  /// Sums over the fraction `part`, 0 to 1, of the experts with tokens that has the fewest of them;
  /// divided by the number of all experts of the layer.
  ExpertSums fewest(double part) const;
  ExpertSums all() const { return up_to_.back(); }

 private:
  std::vector<ExpertSums> up_to_;  // of those with so many tokens or fewer; the first: none
};

/// The expected time of the slower device for one token: a random number of its `used` experts are
/// among the `residents` on the GPU; cpu and gpu are the seconds if all of them ran on that device.
double slower_of_one_token(int experts, int used, int residents, double cpu, double gpu);

}  // namespace ktx::placement
