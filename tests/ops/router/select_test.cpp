// Choosing experts: group limiting, bias, ties, normalisation, by hand-computed cases.
#include "ops/router/select.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "catch.hpp"
#include "ops/ops_numbers.hpp"

using namespace ktx;

namespace {

struct Chosen {
  std::vector<int32_t> ids;
  std::vector<float> weights;
};

Chosen choose(const graph::RouterParams& p, const std::vector<float>& scores,
              const std::vector<float>& biased, int count = 0) {
  Chosen result{std::vector<int32_t>(size_t(p.top_k), -1), std::vector<float>(size_t(p.top_k))};
  ops::select_experts({&p, scores.data(), biased.data(), count > 0 ? count : p.top_k,
                       result.ids.data(), result.weights.data()});
  return result;
}

using Ids = std::vector<int32_t>;

}  // namespace

TEST_CASE("select: the best scores in descending order, weights unbiased") {
  const graph::RouterParams p{.experts = 6, .top_k = 3};
  const std::vector<float> scores = {0.1f, 0.5f, 0.2f, 0.9f, 0.3f, 0.4f};
  CHECK(choose(p, scores, scores).ids == Ids{3, 1, 5});
  const std::vector<float> biased = {2.1f, 0.5f, 0.2f, 0.9f, 0.3f, 1.4f};
  const Chosen chosen = choose(p, scores, biased);
  CHECK(chosen.ids == Ids{0, 5, 3});
  CHECK(chosen.weights == std::vector<float>{0.1f, 0.4f, 0.9f});
}

TEST_CASE("select: a token may get fewer experts, the rest of its routing is unused") {
  const graph::RouterParams p{.experts = 4, .top_k = 3, .normalize = true, .scale = 2};
  const std::vector<float> scores = {0.2f, 0.6f, 0.1f, 0.3f};
  const Chosen chosen = choose(p, scores, scores, 2);
  CHECK(chosen.ids == Ids{1, 3, -1});
  CHECK(chosen.weights[0] == Approx(2 * 0.6 / 0.9));
  CHECK(chosen.weights[1] == Approx(2 * 0.3 / 0.9));
  CHECK(chosen.weights[2] == 0);
}

TEST_CASE("select: normalised weights sum to the scale") {
  const graph::RouterParams p{.experts = 4, .top_k = 2, .normalize = true, .scale = 2.5f};
  const std::vector<float> scores = {0.2f, 0.6f, 0.1f, 0.3f};
  const Chosen chosen = choose(p, scores, scores);
  CHECK(chosen.ids == Ids{1, 3});
  CHECK(chosen.weights[0] == Approx(2.5 * 0.6 / 0.9));
  CHECK(chosen.weights[1] == Approx(2.5 * 0.3 / 0.9));
  const std::vector<float> zeros(4);
  for (float w : choose(p, zeros, zeros).weights) CHECK(w == 0);
}

TEST_CASE("select: without normalisation the scale alone multiplies") {
  const graph::RouterParams p{.experts = 4, .top_k = 2, .scale = 16};
  const std::vector<float> scores = {0.2f, 0.6f, 0.1f, 0.3f};
  CHECK(choose(p, scores, scores).weights[0] == Approx(9.6));
}

TEST_CASE("select: of equal scores the lower index") {
  const graph::RouterParams p{.experts = 8, .top_k = 3, .groups = 4, .top_groups = 2};
  const std::vector<float> scores(8, 0.5f);
  CHECK(choose(p, scores, scores).ids == Ids{0, 1, 2});
}

TEST_CASE("select: groups by their best score or by the sum of their two best") {
  graph::RouterParams p{.experts = 6, .top_k = 2, .groups = 3, .top_groups = 1};
  const std::vector<float> scores = {0.9f, 0.0f, 0.6f, 0.5f, 0.1f, 0.2f};
  CHECK(choose(p, scores, scores).ids == Ids{0, 1});
  p.group_by_top2 = true;
  CHECK(choose(p, scores, scores).ids == Ids{2, 3});
  p.top_groups = 2;
  CHECK(choose(p, scores, scores).ids == Ids{0, 2});
}

TEST_CASE("select: an expert outside the chosen groups never wins over a negative biased score") {
  const graph::RouterParams p{.experts = 4,
                              .top_k = 2,
                              .groups = 2,
                              .top_groups = 1,
                              .sigmoid = true,
                              .group_by_top2 = true};
  const std::vector<float> scores = {0.2f, 0.3f, 0.4f, 0.1f};
  const std::vector<float> biased = {-0.5f, -0.1f, -0.9f, -0.2f};
  CHECK(choose(p, scores, biased).ids == Ids{1, 0});
}

TEST_CASE("select: groups of negative biased scores are summed as they are") {
  const graph::RouterParams p{.experts = 4,
                              .top_k = 1,
                              .groups = 2,
                              .top_groups = 1,
                              .sigmoid = true,
                              .group_by_top2 = true};
  const std::vector<float> scores = {0.2f, 0.3f, 0.4f, 0.1f};
  // -0.1 - 0.9 < -0.3 - 0.4: a second best of 0 would choose the first group.
  CHECK(choose(p, scores, {-0.1f, -0.9f, -0.3f, -0.4f}).ids == Ids{2});
}

TEST_CASE("select: NaN scores still give valid, different ids") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const graph::RouterParams p{.experts = 8, .top_k = 4, .groups = 4, .top_groups = 2};
  for (const std::vector<float>& scores :
       {std::vector<float>(8, nan), {nan, 1, nan, nan, 2, nan, nan, 3}}) {
    Ids ids = choose(p, scores, scores).ids;
    std::sort(ids.begin(), ids.end());
    CHECK(std::adjacent_find(ids.begin(), ids.end()) == ids.end());
    CHECK(ids.front() >= 0);
    CHECK(ids.back() < 8);
  }
}

TEST_CASE("select: agrees with a full sort on random scores") {
  const graph::RouterParams p{.experts = 256,
                              .top_k = 8,
                              .groups = 8,
                              .top_groups = 4,
                              .sigmoid = true,
                              .group_by_top2 = true};
  for (uint32_t seed = 0; seed < 50; ++seed) {
    const auto scores = test::random_floats(256, seed);
    std::vector<std::pair<float, int>> groups;
    for (int g = 0; g < 8; ++g) {
      std::vector<float> in(scores.begin() + g * 32, scores.begin() + (g + 1) * 32);
      std::sort(in.rbegin(), in.rend());
      groups.push_back({-(in[0] + in[1]), g});
    }
    std::sort(groups.begin(), groups.end());
    std::vector<std::pair<float, int32_t>> experts;
    for (int i = 0; i < 4; ++i) {
      for (int e = groups[size_t(i)].second * 32; e < groups[size_t(i)].second * 32 + 32; ++e) {
        experts.push_back({-scores[size_t(e)], e});
      }
    }
    std::sort(experts.begin(), experts.end());
    Ids expected;
    for (size_t i = 0; i < 8; ++i) expected.push_back(experts[i].second);
    REQUIRE(choose(p, scores, scores).ids == expected);
  }
}

TEST_CASE("select: as many experts and groups as there may be") {
  const int most = graph::max_selected;
  const auto scores = test::random_floats(size_t(2 * most), 9);
  const graph::RouterParams all{.experts = 2 * most, .top_k = most};
  std::vector<std::pair<float, int32_t>> order;
  for (int e = 0; e < 2 * most; ++e) order.push_back({-scores[size_t(e)], e});
  std::sort(order.begin(), order.end());
  const Ids chosen = choose(all, scores, scores).ids;
  for (size_t i = 0; i < size_t(most); ++i) REQUIRE(chosen[i] == order[i].second);

  const graph::RouterParams grouped{
      .experts = 2 * most, .top_k = 2, .groups = most, .top_groups = most - 1};
  CHECK(choose(grouped, scores, scores).ids == Ids{chosen[0], chosen[1]});
}
