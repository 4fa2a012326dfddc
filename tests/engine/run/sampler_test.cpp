// Statistics, determinism, ranges of the sampler.
#include "engine/run/sampler.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <limits>
#include <map>
#include <numeric>
#include <random>
#include <set>

#include "catch.hpp"
#include "core/base/failure.hpp"
#include "core/hw/worker_pool.hpp"

using ktx::engine::Sampler;
using ktx::engine::SamplerOptions;
using ktx::test::failure;

namespace {

constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();
constexpr float infinite = std::numeric_limits<float>::infinity();

// How often each token comes in `draws` samples.
std::vector<int> counts(const SamplerOptions& options, const std::vector<float>& logits, int draws,
                        const std::vector<int32_t>& history = {}) {
  Sampler sampler(options);
  std::vector<int> n(logits.size());
  for (int i = 0; i < draws; ++i) ++n[static_cast<size_t>(sampler.sample(logits, history))];
  return n;
}

// Logits whose softmax is p.
std::vector<float> logits_of(std::vector<float> p) {
  for (auto& x : p) x = std::log(x) + 3;
  return p;
}

// Pearson's statistic of the counts for the probabilities (of those above 0).
double chi_squared(const std::vector<int>& n, const std::vector<double>& p) {
  const double draws = std::accumulate(n.begin(), n.end(), 0);
  double sum = 0;
  for (size_t i = 0; i < n.size(); ++i) {
    if (p[i] == 0) {
      CHECK(n[i] == 0);
      continue;
    }
    const double expected = p[i] * draws;
    sum += (n[i] - expected) * (n[i] - expected) / expected;
  }
  return sum;
}

int32_t once(const SamplerOptions& options, const std::vector<float>& logits,
             const std::vector<int32_t>& history = {}) {
  return Sampler(options).sample(logits, history);
}

// The definition: every token weighed and sorted.
class Plain {
 public:
  explicit Plain(const SamplerOptions& options) : o_(options), random_(options.seed) {}

  int32_t sample(const std::vector<float>& logits, std::span<const int32_t> history) {
    std::vector<std::pair<double, int32_t>> all;  // sorts by falling weights, then by ids
    for (const float x : logits) all.emplace_back(-double{x}, static_cast<int32_t>(all.size()));
    const int32_t id = choose(std::move(all), history);
    ++chosen_[id];
    return id;
  }

 private:
  int32_t choose(std::vector<std::pair<double, int32_t>> all, std::span<const int32_t> history) {
    for (const auto& [id, bias] : o_.logit_bias)
      if (static_cast<size_t>(id) < all.size()) all[static_cast<size_t>(id)].first -= double{bias};
    if (o_.repetition_window > 0 && static_cast<size_t>(o_.repetition_window) < history.size())
      history = history.last(static_cast<size_t>(o_.repetition_window));
    const double penalty = o_.repetition_penalty;
    for (const int32_t id : std::set<int32_t>(history.begin(), history.end())) {
      double& x = all[static_cast<size_t>(id)].first;
      x = x < 0 ? x / penalty : x * penalty;
    }
    for (const auto& [id, count] : chosen_)
      if (static_cast<size_t>(id) < all.size())
        all[static_cast<size_t>(id)].first +=
            double{o_.frequency_penalty} * count + double{o_.presence_penalty};
    const auto best = *std::min_element(all.begin(), all.end());
    if (o_.temperature == 0) return best.second;
    for (auto& [x, id] : all) x = -std::exp((best.first - x) / double{o_.temperature});
    const double of_all = sum(all);
    if (o_.top_k > 0 || o_.top_p < 1) std::sort(all.begin(), all.end());
    if (o_.top_k > 0) all.resize(std::min(all.size(), static_cast<size_t>(o_.top_k)));
    if (o_.top_p < 1) {
      const double enough = (o_.top_k > 0 ? sum(all) : of_all) * double{o_.top_p};
      size_t kept = 0;
      for (double reached = 0; kept < all.size() && (kept == 0 || reached < enough);)
        reached -= all[kept++].first;
      all.resize(kept);
    }
    std::erase_if(all, [&](const auto& c) { return -c.first < double{o_.min_p}; });
    const double at = static_cast<double>(random_() >> 11) * 0x1p-53 * sum(all);
    double reached = 0;
    for (const auto& [x, id] : all)
      if ((reached -= x) > at) return id;
    return all.back().second;
  }

  static double sum(const std::vector<std::pair<double, int32_t>>& all) {
    double total = 0;
    for (const auto& [x, id] : all) total -= x;
    return total;
  }
  SamplerOptions o_;
  std::mt19937_64 random_;
  std::map<int32_t, int> chosen_;
};

std::vector<float> random_logits(size_t count, float spread, unsigned seed, float step = 0) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0, spread);
  std::vector<float> logits(count);
  for (auto& x : logits) x = step > 0 ? std::round(normal(random) / step) * step : normal(random);
  return logits;
}

const SamplerOptions settings[] = {
    {.repetition_penalty = 1.1f, .repetition_window = 0},
    {.temperature = 1, .seed = 1},
    {.temperature = 0.6f, .seed = 2},
    {.temperature = 1, .top_k = 1, .seed = 3},
    {.temperature = 1, .top_k = 40, .seed = 4},
    {.temperature = 1, .top_k = 5000, .seed = 5},
    {.temperature = 0.6f, .top_p = 0.95f, .seed = 6},
    {.temperature = 1, .top_p = 0.9f, .seed = 7},
    {.temperature = 1, .top_p = 1e-7f, .seed = 8},
    {.temperature = 1, .top_p = 0.9999999f, .seed = 9},
    {.temperature = 1, .min_p = 0.05f, .seed = 10},
    {.temperature = 2, .min_p = 1, .seed = 11},
    {.temperature = 0.8f, .top_k = 60, .top_p = 0.9f, .min_p = 0.02f, .seed = 12},
    {.temperature = 0.8f, .top_p = 0.9f, .min_p = 0.02f, .seed = 13},
    {.temperature = 1, .repetition_penalty = 1.3f, .repetition_window = 0, .seed = 14},
    {.temperature = 1, .top_p = 0.8f, .repetition_penalty = 1.3f, .seed = 15},
    {.temperature = 1, .top_k = 20, .repetition_penalty = 0.7f, .seed = 16},
    {.temperature = 1, .min_p = 0.1f, .repetition_penalty = 1.3f, .seed = 17},
    {.temperature = 1e-42f, .top_p = 0.5f, .seed = 18},
    {.temperature = 1e30f, .seed = 19},
    {.frequency_penalty = 0.3f, .seed = 20},
    {.temperature = 1, .frequency_penalty = 0.4f, .presence_penalty = 1.5f, .seed = 21},
    {.temperature = 1, .top_p = 0.9f, .presence_penalty = -1, .seed = 22},
    {.temperature = 1, .logit_bias = {{1, 2}, {0, -infinite}, {70, 9}, {1, 0.5f}}, .seed = 23},
    {.temperature = 0.8f,
     .top_k = 20,
     .repetition_penalty = 1.2f,
     .frequency_penalty = 0.2f,
     .logit_bias = {{2, 3}, {30000, 8}},
     .seed = 24},
};

const std::vector<float> five = {0.4f, 0.05f, 0.25f, 0.2f, 0.1f};
// 99.99 % of chi-squared with 4 degrees of freedom; the seeds are fixed, so a run is no gamble.
constexpr double limit4 = 23.5;

}  // namespace

TEST_CASE("greedy takes the greatest logit, the lower id of equals") {
  CHECK(once({}, {1, 3, 2}) == 1);
  CHECK(once({}, {1, 3, 3}) == 1);
  CHECK(once({}, {-5}) == 0);
  CHECK(once({.top_k = 1, .top_p = 0.1f, .min_p = 1, .seed = 9}, {1, 3, 2}) == 1);
}

TEST_CASE("temperature 1 samples the softmax, others its power") {
  const auto logits = logits_of(five);
  CHECK(chi_squared(counts({.temperature = 1, .seed = 1}, logits, 20000),
                    {0.4, 0.05, 0.25, 0.2, 0.1}) < limit4);
  std::vector<double> squared{0.16, 0.0025, 0.0625, 0.04, 0.01};
  for (auto& p : squared) p /= 0.275;
  CHECK(chi_squared(counts({.temperature = 0.5f, .seed = 2}, logits, 20000), squared) < limit4);
}

TEST_CASE("top-k keeps the k most probable") {
  const auto logits = logits_of(five);
  CHECK(chi_squared(counts({.temperature = 1, .top_k = 2, .seed = 3}, logits, 20000),
                    {0.4 / 0.65, 0, 0.25 / 0.65, 0, 0}) < limit4);
  CHECK(chi_squared(counts({.temperature = 1, .top_k = 100, .seed = 3}, logits, 20000),
                    {0.4, 0.05, 0.25, 0.2, 0.1}) < limit4);
  // Of equals the lower ids stay.
  const auto n = counts({.temperature = 1, .top_k = 2, .seed = 3}, {1, 1, 1, 1}, 500);
  CHECK(n[0] + n[1] == 500);
}

TEST_CASE("top-p keeps the fewest that reach the probability") {
  const auto logits = logits_of(five);
  const auto kept = [&](float p) {
    const auto n = counts({.temperature = 1, .top_p = p, .seed = 4}, logits, 3000);
    std::string ids;
    for (size_t i = 0; i < n.size(); ++i)
      if (n[i] > 0) ids += std::to_string(i);
    return ids;
  };
  CHECK(kept(0.01f) == "0");
  CHECK(kept(0.39f) == "0");
  CHECK(kept(0.41f) == "02");
  CHECK(kept(0.8f) == "023");
  CHECK(kept(0.9f) == "0234");
  CHECK(kept(0.999f) == "01234");
  CHECK(chi_squared(counts({.temperature = 1, .top_p = 0.8f, .seed = 5}, logits, 20000),
                    {0.4 / 0.85, 0, 0.25 / 0.85, 0.2 / 0.85, 0}) < limit4);
  // One of two equals is half: the first is enough.
  CHECK(counts({.temperature = 1, .top_p = 0.5f, .seed = 4}, {1, 1}, 500)[0] == 500);
  // Top-p counts within what top-k kept: 0.4 of 0.65 is more than 0.6.
  CHECK(counts({.temperature = 1, .top_k = 2, .top_p = 0.6f, .seed = 5}, logits, 500)[0] == 500);
}

TEST_CASE("min-p drops what is far below the best") {
  CHECK(chi_squared(counts({.temperature = 1, .min_p = 0.4f, .seed = 6}, logits_of(five), 20000),
                    {0.4 / 0.85, 0, 0.25 / 0.85, 0.2 / 0.85, 0}) < limit4);
  CHECK(counts({.temperature = 1, .min_p = 1, .seed = 6}, logits_of(five), 500)[0] == 500);
  CHECK(counts({.temperature = 1, .min_p = 1, .seed = 6}, {0, 2, 1}, 500)[1] == 500);
}

TEST_CASE("top-p on a large vocabulary is what sorting all of it gives") {
  std::vector<float> logits(20000);
  std::mt19937 random(8);
  for (auto& x : logits) x = static_cast<float>(random() % 8192) / 1024.f;
  std::vector<size_t> order(logits.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return logits[a] > logits[b]; });
  double total = 0, sum = 0;
  for (const float x : logits) total += std::exp(double{x} - logits[order[0]]);
  std::vector<bool> keep(logits.size());
  for (const size_t i : order) {
    keep[i] = true;
    sum += std::exp(double{logits[i]} - logits[order[0]]);
    if (sum >= 0.3 * total) break;
  }
  Sampler sampler({.temperature = 1, .top_p = 0.3f, .seed = 2});
  for (int i = 0; i < 300; ++i) CHECK(keep[static_cast<size_t>(sampler.sample(logits, {}))]);
}

TEST_CASE("the repetition penalty divides positive and multiplies negative logits, once") {
  const SamplerOptions options{.repetition_penalty = 2, .repetition_window = 0};
  CHECK(once(options, {3, 2, 0}) == 0);
  CHECK(once(options, {3, 2, 0}, {0, 0, 0}) == 1);
  CHECK(once(options, {3, 1, 0}, {0, 0, 0}) == 0);  // 1.5, not 0.375
  CHECK(once(options, {-1, -1.5f}, {0}) == 1);
  CHECK(once(options, {3, 2}, {-1, 7, 0}) == 1);
}

TEST_CASE("the repetition window bounds how far back tokens count, call by call") {
  SamplerOptions options{.repetition_penalty = 2, .repetition_window = 2};
  CHECK(once(options, {3, 2, 0}, {0, 2, 2}) == 0);
  CHECK(once(options, {3, 2, 0}, {2, 0, 2}) == 1);
  Sampler sampler(options);
  const std::vector<float> logits{3, 2, 0};
  CHECK(sampler.sample(logits, std::vector<int32_t>{0}) == 1);
  CHECK(sampler.sample(logits, std::vector<int32_t>{2}) == 0);
}

TEST_CASE("frequency and presence penalties count what the sampler has chosen") {
  const auto chosen = [](const SamplerOptions& options, const std::vector<float>& logits, int n) {
    Sampler sampler(options);
    std::string ids;
    const std::vector<int32_t> history(10, 2);  // a prompt: not counted
    for (int i = 0; i < n; ++i) ids += std::to_string(sampler.sample(logits, history));
    return ids;
  };
  CHECK(chosen({.frequency_penalty = 1}, {3.1f, 1, 2}, 7) == "0020120");
  CHECK(chosen({.presence_penalty = 1.5f}, {3.1f, 1, 2}, 6) == "020000");
  CHECK(chosen({.presence_penalty = -5}, {1, 1.1f}, 3) == "111");
  CHECK(chosen({.frequency_penalty = 0.5f, .presence_penalty = 0.25f}, {2, 1}, 5) == "00100");
}

TEST_CASE("a bias is added to its token's logit, -inf bans it") {
  CHECK(once({.logit_bias = {{2, 1.5f}}}, {3, 2, 2}) == 2);
  CHECK(once({.logit_bias = {{2, 0.5f}}}, {3, 2, 2}) == 0);
  CHECK(once({.logit_bias = {{2, 0.75f}, {2, 0.75f}}}, {3, 2, 2}) == 2);
  CHECK(once({.logit_bias = {{0, -infinite}, {7, 9}}}, {3, 1, 2}) == 2);
  // Before the repetition penalty: (1 + 2) / 2 is less than 1.75, 1 / 2 + 2 would not be.
  CHECK(once({.repetition_penalty = 2, .logit_bias = {{0, 2}}}, {1, 1.75f}, {0}) == 1);
  const auto n = counts({.temperature = 1, .logit_bias = {{0, -infinite}}}, logits_of(five), 500);
  CHECK(n[0] == 0);
}

TEST_CASE("a seed fixes the sequence on every platform") {
  const auto sequence = [](uint64_t seed) {
    Sampler sampler({.temperature = 1, .seed = seed});
    std::string ids;
    for (int i = 0; i < 32; ++i) ids += std::to_string(sampler.sample(logits_of(five), {}));
    return ids;
  };
  CHECK(sequence(42) == sequence(42));
  CHECK(sequence(42) != sequence(43));
  // The first draws of std::mt19937_64(42) over 2^64 are 0.7552, 0.6390, 0.7521, 0.1363; the
  // cumulative probabilities 0.4, 0.45, 0.7, 0.9, 1.
  CHECK(sequence(42).substr(0, 4) == "3230");
}

TEST_CASE("NaN and infinite logits") {
  CHECK(once({}, {not_a_number, 1, not_a_number, 2}) == 3);
  CHECK(once({}, {-infinite, -1e30f}) == 1);
  CHECK(once({.temperature = 1}, {1, infinite, infinite}) == 1);
  CHECK(counts({.temperature = 1, .seed = 1}, {not_a_number, 1, -infinite}, 200)[1] == 200);
  CHECK(counts({.temperature = 1e-30f, .seed = 1}, {1, 2, 1.9999f}, 200)[1] == 200);
  REQUIRE(failure([] {
            once({}, {not_a_number, -infinite});
          }) == "bug no token can be chosen: no logit of 2 is a number above -inf");
  REQUIRE(failure([] { once({.temperature = 1}, {}); }) ==
          "bug no token can be chosen: no logit of 0 is a number above -inf");
}

TEST_CASE("biases and penalties that leave no token are input errors") {
  const std::string error =
      "input sampling: logit biases and penalties ban all tokens: expected at least one that is "
      "allowed";
  const SamplerOptions banned{.logit_bias = {{0, -infinite}, {1, -infinite}}};
  CHECK(failure([&] { once(banned, {1, 2}); }) == error);
  CHECK(failure([&] { once(banned, {1, 2, -infinite}); }) == error);
  CHECK(once(banned, {1, 2, -1e30f}) == 2);
  // The one that is left, until penalties have banned it, too.
  Sampler sampler({.frequency_penalty = 3e38f, .logit_bias = {{0, -infinite}}});
  const std::vector<float> logits{1, 2};
  CHECK(sampler.sample(logits, {}) == 1);
  CHECK(sampler.sample(logits, {}) == 1);
  CHECK(failure([&] { sampler.sample(logits, {}); }) == error);
}

TEST_CASE("options out of range are input errors") {
  const auto refused = [](const SamplerOptions& options) {
    return failure([&] { Sampler{options}; });
  };
  REQUIRE(refused({.temperature = -1}) ==
          "input sampling: temperature: expected 0 (greedy) or a positive number, found -1.000000");
  CHECK(refused({.temperature = infinite}).starts_with("input sampling: temperature"));
  CHECK(refused({.temperature = not_a_number}).starts_with("input sampling: temperature"));
  REQUIRE(refused({.top_k = -1}) ==
          "input sampling: top-k: expected 0 (all) or a positive count, found -1");
  REQUIRE(refused({.top_p = 0}) ==
          "input sampling: top-p: expected more than 0 and at most 1, found 0.000000");
  CHECK(refused({.top_p = 1.1f}).starts_with("input sampling: top-p"));
  CHECK(refused({.top_p = not_a_number}).starts_with("input sampling: top-p"));
  CHECK(refused({.min_p = -0.1f}).starts_with("input sampling: min-p"));
  CHECK(refused({.min_p = 2}).starts_with("input sampling: min-p"));
  CHECK(refused({.repetition_penalty = 0}).starts_with("input sampling: repetition penalty"));
  CHECK(refused({.repetition_penalty = not_a_number})
            .starts_with("input sampling: repetition penalty"));
  CHECK(refused({.repetition_window = -1}).starts_with("input sampling: repetition window"));
  CHECK(refused({.frequency_penalty = infinite}).starts_with("input sampling: frequency penalty"));
  CHECK(
      refused({.presence_penalty = not_a_number}).starts_with("input sampling: presence penalty"));
  CHECK(refused({.logit_bias = {{-1, 1}}}) ==
        "input sampling: logit bias: expected a token id, found -1");
  for (const float bias : {infinite, not_a_number})
    CHECK(refused({.logit_bias = {{1, bias}}})
              .starts_with("input sampling: logit bias: expected a "));
  CHECK(refused({.temperature = 0.7f,
                 .top_k = 40,
                 .top_p = 0.95f,
                 .min_p = 0.05f,
                 .repetition_penalty = 1.1f}) == "nothing thrown");
}

TEST_CASE("every setting chooses what weighing and sorting all tokens does") {
  ktx::hw::WorkerPool pool(3);
  std::vector<int32_t> history(300);
  std::mt19937 random(5);
  for (const auto& options : settings) {
    CAPTURE(options.seed);
    Sampler alone(options), together(options);
    Plain plain(options);
    for (unsigned i = 0; i < 24; ++i) {
      // Sharp and flat, many and few, no multiple of anything, with equals and without.
      const size_t count = std::array<size_t, 4>{40007, 20000, 65, 3}[i % 4];
      const auto logits = random_logits(count, i % 3 == 0 ? 0.3f : 3.0f, i, i % 2 == 0 ? 0.25f : 0);
      for (auto& id : history) id = static_cast<int32_t>(random() % count);
      const int32_t expected = plain.sample(logits, history);
      REQUIRE(alone.sample(logits, history) == expected);
      REQUIRE(together.sample(logits, history, &pool) == expected);
    }
  }
}

TEST_CASE("sampling: speed of 32 sequences of 129,280 logits", "[.bench]") {
  constexpr size_t sequences = 32, vocab = 129280;
  auto logits = random_logits(sequences * vocab, 2.5f, 1);
  for (size_t i = 0; i < logits.size(); i += vocab / 50) logits[i] += 10;  // as models do
  const std::vector<int32_t> history(2000, 7);
  ktx::hw::WorkerPool pool(2);
  for (auto options : settings) {
    std::vector<Sampler> samplers;
    for (size_t i = 0; i < sequences; ++i) {
      options.seed = i;
      samplers.emplace_back(options);
    }
    double fastest = 1e9;  // others may use the machine
    for (int repeat = 0; repeat < 21; ++repeat) {
      const auto start = std::chrono::steady_clock::now();
      pool.parallel_for(sequences, 1, [&](int64_t begin, int64_t, int) noexcept {
        const auto i = static_cast<size_t>(begin);
        samplers[i].sample(std::span(logits).subspan(i * vocab, vocab), history);
      });
      const std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
      fastest = std::min(fastest, time.count());
    }
    std::printf("temperature %g top-k %d top-p %g min-p %g penalty %g, %g: %.2f ms\n",
                double{options.temperature}, options.top_k, double{options.top_p},
                double{options.min_p}, double{options.repetition_penalty},
                double{options.frequency_penalty}, fastest * 1e3);
  }
}
