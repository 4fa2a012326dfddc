// How the tokens of a step fall on the routed experts of a layer, if any are chosen equally often.
#pragma once

#include <cstdint>
#include <vector>

namespace ktx::placement {

/// Sums over some experts, a part of all of the layer's.
struct ExpertSums {
  double used = 0;  // experts that have tokens
  double few = 0;   // of these, those with so few tokens that a kernel of few rows runs them
  double rows = 0;  // tokens as they are multiplied: of the others in whole tiles
};

/// A token chooses an expert by chance: how many tokens an expert gets is binomial.
class ExpertLoad {
 public:
  struct Shape {
    int64_t tokens = 1;
    double chance = 0;  // of an expert to be one of a token's
    int64_t few = 0;    // most tokens of an expert for a kernel of few rows
    int64_t tile = 1;   // tokens that take as long as one
  };
  explicit ExpertLoad(const Shape& shape);

  /// Of those that have tokens, the part that has the fewest, from 0 to 1; divided by the number of
  /// all experts of the layer.
  ExpertSums fewest(double part) const;
  ExpertSums all() const { return up_to_.back(); }

 private:
  std::vector<ExpertSums> up_to_;  // of those with so many tokens or fewer; the first: none
};

/// Of one token's `used` experts now more, now fewer are among the `residents`: the mean of what
/// the slower device takes, if all of them take cpu and gpu seconds.
double slower_of_one_token(int experts, int used, int residents, double cpu, double gpu);

}  // namespace ktx::placement
