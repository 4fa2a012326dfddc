// Splits by hand and against all others, and rates that find what is true.
#include "engine/run/expert_split.hpp"

#include <algorithm>
#include <random>
#include <vector>

#include "catch.hpp"

using namespace ktx::engine;

namespace {

std::vector<int32_t> ids(std::span<const StreamedExpert> experts) {
  std::vector<int32_t> result;
  for (const auto& expert : experts) result.push_back(expert.expert);
  return result;
}

bool has(std::span<const int32_t> set, int32_t expert) {
  return std::find(set.begin(), set.end(), expert) != set.end();
}

/// The seconds in which a set of experts is streamed, by the formula.
SplitSeconds seconds(const ExpertWork& work, const SplitRates& rates,
                     const std::vector<bool>& streamed) {
  double copy = 0, compute = 0, cpu = 0;
  for (size_t i = 0; i < work.tokens.size(); ++i) {
    const auto e = static_cast<int32_t>(i);
    const double flops = work.token_flops * work.tokens[i];
    if (work.tokens[i] == 0) continue;
    if (has(work.residents, e) || streamed[i]) compute += flops / rates.gpu_flops;
    if (has(work.residents, e)) continue;
    if (!streamed[i])
      cpu += std::max(work.expert_bytes / rates.read_bytes, flops / rates.cpu_flops);
    else if (!has(work.prefetched, e))
      copy += work.expert_bytes / rates.copy_bytes;
  }
  return {std::max(copy, compute), cpu};
}

}  // namespace

// A copy takes 1 s, the CPU 0.5 s to read an expert and 0.1 s for a token.
constexpr SplitRates simple{.copy_bytes = 1, .read_bytes = 2, .cpu_flops = 10, .gpu_flops = 1000};

TEST_CASE("expert split: the experts with most tokens are streamed while the CPU takes the rest") {
  const std::vector<int32_t> tokens{3, 20, 0, 10, 1, 30, 2};
  std::vector<StreamedExpert> order(tokens.size());
  // One copy: 1 s against 0.5 + 2 + 1 + 0.5 + 0.5; two: 2 s against 0.5 + 1 + 0.5 + 0.5 = 2.5;
  // three: 3 s.
  const auto split =
      split_experts({.tokens = tokens, .expert_bytes = 1, .token_flops = 1}, simple, order);
  CHECK(ids(split.streamed) == std::vector<int32_t>{5, 1});
  CHECK(ids(split.rest) == std::vector<int32_t>{3, 0, 6, 4});
  CHECK(split.streamed[1] == StreamedExpert{1, 20});
  CHECK(split.predicted.gpu == Approx(2));
  CHECK(split.predicted.cpu == Approx(2.5));
}

TEST_CASE("expert split: residents stay where they are, prefetched experts come first") {
  const std::vector<int32_t> tokens{3, 20, 0, 10, 1, 30, 2}, residents{5}, prefetched{4, 2};
  std::vector<StreamedExpert> order(tokens.size());
  // Expert 4 needs no copy, 2 has no tokens. One copy: 1 s against 0.5 + 1 + 0.5 = 2; two: 2 s
  // against 1, which is no better.
  const auto split = split_experts({.tokens = tokens,
                                    .residents = residents,
                                    .prefetched = prefetched,
                                    .expert_bytes = 1,
                                    .token_flops = 1},
                                   simple, order);
  CHECK(ids(split.streamed) == std::vector<int32_t>{4, 1});
  CHECK(ids(split.rest) == std::vector<int32_t>{3, 0, 6});
  CHECK(split.predicted.gpu == Approx(1));
  CHECK(split.predicted.cpu == Approx(2));
}

TEST_CASE("expert split: one side may get all") {
  const std::vector<int32_t> tokens{1, 1, 1};
  std::vector<StreamedExpert> order(tokens.size());
  const ExpertWork work{.tokens = tokens, .expert_bytes = 1, .token_flops = 1};
  const SplitRates slow_bus{
      .copy_bytes = 0.01, .read_bytes = 2, .cpu_flops = 10, .gpu_flops = 1000};
  CHECK(split_experts(work, slow_bus, order).streamed.empty());
  const SplitRates slow_cpu{
      .copy_bytes = 1, .read_bytes = 0.01, .cpu_flops = 10, .gpu_flops = 1000};
  CHECK(split_experts(work, slow_cpu, order).rest.empty());
  const std::vector<int32_t> none(3);
  CHECK(split_experts({.tokens = none, .expert_bytes = 1, .token_flops = 1}, simple, order)
            .streamed.empty());
}

TEST_CASE("expert split: no better one among all sets of experts") {
  std::mt19937 random(3);
  const auto below = [&](int n) { return std::uniform_int_distribution<int>(0, n - 1)(random); };
  for (int round = 0; round < 200; ++round) {
    constexpr size_t experts = 9;
    std::vector<int32_t> tokens(experts), residents, prefetched;
    for (size_t e = 0; e < experts; ++e) {
      tokens[e] = below(4) == 0 ? 0 : below(40);
      if (const int where = below(6); where < 2)
        (where == 0 ? residents : prefetched).push_back(static_cast<int32_t>(e));
    }
    const ExpertWork work{.tokens = tokens,
                          .residents = residents,
                          .prefetched = prefetched,
                          .expert_bytes = 1,
                          .token_flops = 1};
    const SplitRates rates{.copy_bytes = 0.2 + below(10),
                           .read_bytes = 1.0 + below(4),
                           .cpu_flops = 10.0 + below(50),
                           .gpu_flops = 1e6};  // copies decide: the sums below are of few numbers
    std::vector<StreamedExpert> order(experts);
    const ExpertSplit split = split_experts(work, rates, order);
    std::vector<bool> streamed(experts);
    for (const auto& e : split.streamed) streamed[static_cast<size_t>(e.expert)] = true;
    const SplitSeconds by_formula = seconds(work, rates, streamed);
    CHECK(split.predicted.gpu == Approx(by_formula.gpu));
    CHECK(split.predicted.cpu == Approx(by_formula.cpu));

    for (unsigned set = 0; set < 1u << experts; ++set) {
      bool possible = true;
      for (size_t i = 0; i < experts; ++i) {
        const auto e = static_cast<int32_t>(i);
        streamed[i] = (set >> i & 1) != 0;
        if (streamed[i]) possible = possible && tokens[i] > 0 && !has(residents, e);
      }
      if (!possible) continue;
      CHECK(split.predicted.both() <= seconds(work, rates, streamed).both() * (1 + 1e-9));
    }
  }
}

TEST_CASE("expert split: rates move to those that were measured") {
  const SplitRates truth{.copy_bytes = 40, .read_bytes = 300, .cpu_flops = 900, .gpu_flops = 3e5};
  MeasuredRates measured(
      {.copy_bytes = 120, .read_bytes = 100, .cpu_flops = 300, .gpu_flops = 9e5});
  std::vector<int32_t> tokens(64);
  for (size_t e = 0; e < tokens.size(); ++e) tokens[e] = static_cast<int32_t>(1 + e % 7 * 10);
  const ExpertWork work{.tokens = tokens, .expert_bytes = 1, .token_flops = 1};
  std::vector<StreamedExpert> order(tokens.size());
  for (int layer = 0; layer < 40; ++layer) {
    const ExpertSplit split = split_experts(work, measured.rates(), order);
    std::vector<bool> streamed(tokens.size());
    for (const auto& e : split.streamed) streamed[static_cast<size_t>(e.expert)] = true;
    measured.add(split.predicted, seconds(work, truth, streamed));
  }
  CHECK(measured.rates().copy_bytes == Approx(truth.copy_bytes).epsilon(0.01));
  CHECK(measured.rates().cpu_flops == Approx(truth.cpu_flops).epsilon(0.01));

  // A side that did nothing says nothing, and one layer of a stuck machine little.
  const SplitRates before = measured.rates();
  measured.add({.gpu = 1, .cpu = 0}, {.gpu = 100, .cpu = 0});
  CHECK(measured.rates().cpu_flops == before.cpu_flops);
  CHECK(measured.rates().copy_bytes > 0.8 * before.copy_bytes);
}
