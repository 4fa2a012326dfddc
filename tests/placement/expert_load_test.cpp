// Chances of how many tokens an expert gets.
#include "placement/expert_load.hpp"

#include <algorithm>
#include <cmath>
#include <random>

#include "catch.hpp"

using namespace ktx::placement;

TEST_CASE("one token has its experts and no others") {
  const ExpertLoad load({.tokens = 1, .chance = 8 / 256.0, .few = 8, .tile = 16});
  CHECK(load.all().used == Approx(8 / 256.0));
  CHECK(load.all().few == Approx(8 / 256.0));
  CHECK(load.all().rows == Approx(8 / 256.0));
  CHECK(ExpertLoad({.tokens = 3, .chance = 1}).all().rows == Approx(3));
}

TEST_CASE("tokens fall on experts as drawn ones do") {
  constexpr int tokens = 100, experts = 64, few = 4, tile = 16, draws = 200;
  constexpr double chance = 0.1;
  std::mt19937 random(1);
  std::binomial_distribution<int> draw(tokens, chance);
  ExpertSums mean, low;
  for (int i = 0; i < draws; ++i) {
    std::vector<int> counts(experts);
    for (int& count : counts) count = draw(random);
    std::ranges::sort(counts);
    const auto used =
        static_cast<double>(std::ranges::count_if(counts, [](int n) { return n > 0; }));
    double before = 0;
    for (const int n : counts) {
      if (n == 0) continue;
      const double rows = n <= few ? n : (n + tile - 1) / tile * tile;
      for (auto* sums : {&mean, &low}) {
        if (sums == &low && before >= used / 2) continue;
        sums->used += 1.0 / draws / experts;
        sums->few += (n <= few) / double(draws) / experts;
        sums->rows += rows / draws / experts;
      }
      ++before;
    }
  }
  const ExpertLoad load({.tokens = tokens, .chance = chance, .few = few, .tile = tile});
  for (const auto& [expected, found] :
       {std::pair(mean, load.all()), std::pair(low, load.fewest(0.5))}) {
    CHECK(found.used == Approx(expected.used).epsilon(0.02));
    CHECK(found.few == Approx(expected.few).epsilon(0.05));
    CHECK(found.rows == Approx(expected.rows).epsilon(0.02));
  }
}

TEST_CASE("experts are taken from those with the fewest tokens on") {
  const ExpertLoad load({.tokens = 512, .chance = 1 / 32.0, .few = 8, .tile = 1});
  CHECK(load.fewest(0).rows == 0);
  CHECK(load.fewest(1).rows == Approx(16));
  CHECK(load.all().rows == Approx(16));
  const auto quarter = load.fewest(0.25), half = load.fewest(0.5);
  CHECK(half.used == Approx(2 * quarter.used));
  CHECK(half.rows > 2 * quarter.rows);
  CHECK(half.rows < 8);
  // Whole tiles: of 16 tokens on average hardly half of the experts have 17 or more.
  const ExpertLoad tiles({.tokens = 512, .chance = 1 / 32.0, .few = 8, .tile = 16});
  CHECK(tiles.all().rows > 1.35 * 16);
  CHECK(tiles.all().rows < 1.5 * 16);
  CHECK(tiles.fewest(0.5).rows == Approx(8).epsilon(0.05));
}

TEST_CASE("many tokens") {
  const ExpertLoad load({.tokens = 1 << 20, .chance = 1 / 32.0, .few = 8, .tile = 16});
  CHECK(load.all().used == Approx(1));
  CHECK(load.all().few == 0);
  CHECK(load.all().rows == Approx((1 << 15) + 7.5));
}

TEST_CASE("the slower of two devices, by the experts that a token has on each") {
  // Of 8 experts k are residents, with the chance C(16, k) C(16, 8 - k) / C(32, 8).
  const double chances[] = {12870,   183040, 960960, 2446080, 3312400,
                            2446080, 960960, 183040, 12870};
  double mean = 0;
  for (int k = 0; k <= 8; ++k)
    mean += chances[k] / 10518300 * std::max(3.0 * k / 8, 2.0 * (8 - k) / 8);
  CHECK(slower_of_one_token(32, 8, 16, 2, 3) == Approx(mean));
  CHECK(slower_of_one_token(32, 8, 0, 2, 3) == Approx(2));
  CHECK(slower_of_one_token(8, 2, 7, 0, 3) == Approx(3 * 7 / 8.0));
}
