// The router on a GPU against the CPU's.
#include "ops/router/cuda.hpp"

#include <cmath>
#include <map>

#include "catch.hpp"
#include "core/base/buffer.hpp"
#include "ops/ops_numbers.hpp"
#include "ops/router/router.hpp"
#include "support/gpu_launches.hpp"

using namespace ktx;
using test::random_floats;

namespace {

struct Case {
  const char* name;
  graph::RouterParams params;
  int64_t hidden, rows;
  bool bias;
};

const Case cases[] = {
    {"deepseek-v3, one row", {256, 8, 8, 4, true, true, true, 2.5f}, 7168, 1, true},
    {"deepseek-v3, few rows", {256, 8, 8, 4, true, true, true, 2.5f}, 7168, 5, true},
    {"deepseek-v3, many rows", {256, 8, 8, 4, true, true, true, 2.5f}, 1024, 131, true},
    {"deepseek-v2, softmax and best of groups",
     {160, 6, 8, 3, false, false, false, 16},
     512,
     70,
     false},
    {"kimi-k2, one group", {384, 8, 1, 1, true, true, true, 2.827f}, 1028, 33, true},
    {"qwen3", {128, 8, 1, 1, false, true, false, 1}, 2048, 9, false},
    {"most experts, all chosen", {1024, 1024, 1, 1, true, true, false, 1}, 64, 2, true},
    {"many groups", {1024, 24, 256, 100, true, true, true, 1}, 64, 12, true},
    {"one expert a group", {64, 4, 64, 8, true, true, true, 1}, 132, 3, true},
    {"most of all, more rows than warps select",
     {1024, 8, 1024, 300, true, true, true, 1},
     9000,
     8,
     true},
};

/// Whole numbers small enough that every order of addition gives the same logits, with many ties.
std::vector<float> whole_numbers(int64_t n, uint32_t seed, float scale) {
  auto numbers = random_floats(n, seed, scale);
  for (float& x : numbers) x = std::round(x);
  return numbers;
}

struct Routing {
  std::vector<int32_t> ids;
  std::vector<float> weights;
};

Routing run_cpu(const Case& c, const std::vector<float>& x, const std::vector<float>& weight,
                const std::vector<float>& bias, int top_k) {
  graph::RouterParams params = c.params;
  params.top_k = top_k;
  hw::WorkerPool pool(1);
  const auto size = size_t(c.rows * top_k);
  Routing result{std::vector<int32_t>(size), std::vector<float>(size)};
  base::Buffer scratch(ops::router_scratch_bytes(params, c.rows));
  ops::router({.params = &params,
               .x = x.data(),
               .x_stride = c.hidden + 4,
               .tokens = c.rows,
               .hidden = c.hidden,
               .weight = weight.data(),
               .bias = c.bias ? bias.data() : nullptr,
               .ids = result.ids.data(),
               .weights = result.weights.data(),
               .kernel = ops::f32::find_kernel("ref"),
               .scratch = scratch.data()},
              pool);
  return result;
}

void check(const Case& c, const std::vector<int32_t>& counts, std::map<int, Routing>& by_count,
           const std::vector<int32_t>& ids, const std::vector<float>& weights) {
  const int64_t most = int64_t(ids.size()) / c.rows;
  for (int64_t r = 0; r < c.rows; ++r) {
    const int count = counts[size_t(r)];
    const Routing& expected = by_count[count];
    for (int64_t i = 0; i < most; ++i) {
      const auto at = size_t(r * most + i);
      INFO("row " << r << ", choice " << i << " of " << count);
      if (i >= count) {
        REQUIRE(ids[at] == -1);
        REQUIRE(weights[at] == 0);
      } else {
        const auto from = size_t(r * count + i);
        REQUIRE(ids[at] == expected.ids[from]);
        REQUIRE(weights[at] == Approx(expected.weights[from]).epsilon(1e-5));
      }
    }
  }
}

}  // namespace

TEST_CASE("cuda: the router chooses the experts that the CPU chooses, of ties the lower") {
  if (!test::have_gpu()) SKIP(test::no_gpu);
  test::Gpu gpu;
  for (const Case& c : cases) {
    INFO(c.name);
    const graph::RouterParams& p = c.params;
    const auto x = whole_numbers(c.rows * (c.hidden + 4), 1, 1);
    auto weight = whole_numbers(p.experts * c.hidden, 2, 1);
    for (float& w : weight) w /= 64;  // logits of both signs around 0
    std::copy_n(weight.begin(), c.hidden, weight.begin() + (p.experts - 1) * c.hidden);  // a tie
    auto bias = random_floats(p.experts, 3, 0.2f);
    bias.back() = bias.front();
    // Rows take 1, 2, … experts, and the columns are more than the most of them.
    const int64_t most = p.top_k + 3;
    std::vector<int32_t> counts;
    for (int64_t r = 0; r < c.rows; ++r) counts.push_back(int32_t(r % p.top_k) + 1);
    counts.back() = p.top_k;

    const auto on_x = gpu.upload(x), on_weight = gpu.upload(weight), on_bias = gpu.upload(bias);
    const auto on_counts = gpu.upload(counts);
    std::map<int, Routing> by_count;
    for (const int count : counts) {
      if (!by_count.contains(count)) by_count[count] = run_cpu(c, x, weight, bias, count);
    }
    const auto scratch = gpu.poisoned(ops::cuda::router_scratch_bytes(p, c.hidden, c.rows));
    const auto arrived = gpu.upload(std::vector<unsigned>{0});
    // In two launches, in one, and in one once more with what that left.
    for (unsigned* counter :
         {static_cast<unsigned*>(nullptr), arrived.as<unsigned>(), arrived.as<unsigned>()}) {
      const auto ids = gpu.poisoned(size_t(c.rows * most) * 4);
      const auto weights = gpu.poisoned(size_t(c.rows * most) * 4);
      const ops::cuda::RouterArgs args{.params = &p,
                                       .x = on_x.as<float>(),
                                       .x_stride = c.hidden + 4,
                                       .rows = c.rows,
                                       .hidden = c.hidden,
                                       .weight = on_weight.as<float>(),
                                       .bias = c.bias ? on_bias.as<float>() : nullptr,
                                       .experts_per_token = on_counts.as<int32_t>(),
                                       .most = most,
                                       .ids = ids.as<int32_t>(),
                                       .weights = weights.as<float>(),
                                       .scratch = scratch.data(),
                                       .arrived = counter};
      ops::cuda::router(args, gpu.queue());
      check(c, counts, by_count, gpu.download<int32_t>(ids), gpu.download<float>(weights));
      const bool one = counter != nullptr && c.rows <= 8;
      CHECK(test::launches_of(gpu, [&] { ops::cuda::router(args, gpu.queue()); }) == (one ? 1 : 2));
    }
    CHECK(gpu.download<unsigned>(arrived) == std::vector<unsigned>{0});
  }
}

TEST_CASE("cuda: the router's logits are sums of f32") {
  if (!test::have_gpu()) SKIP(test::no_gpu);
  test::Gpu gpu;
  const graph::RouterParams p{.experts = 256, .top_k = 256, .scale = 1};
  for (const int64_t rows : {1, 40}) {
    const int64_t hidden = 7168;
    const auto x = random_floats(rows * hidden, 1);
    const auto weight = random_floats(p.experts * hidden, 2, 1 / std::sqrt(float(hidden)));
    const auto on_x = gpu.upload(x), on_weight = gpu.upload(weight);
    const auto ids = gpu.poisoned(size_t(rows * p.experts) * 4);
    const auto weights = gpu.poisoned(size_t(rows * p.experts) * 4);
    const auto scratch = gpu.poisoned(ops::cuda::router_scratch_bytes(p, hidden, rows));
    ops::cuda::router({.params = &p,
                       .x = on_x.as<float>(),
                       .x_stride = hidden,
                       .rows = rows,
                       .hidden = hidden,
                       .weight = on_weight.as<float>(),
                       .most = p.experts,
                       .ids = ids.as<int32_t>(),
                       .weights = weights.as<float>(),
                       .scratch = scratch.data()},
                      gpu.queue());
    const auto got_ids = gpu.download<int32_t>(ids);
    const auto got = gpu.download<float>(weights);
    for (int64_t r = 0; r < rows; ++r) {
      std::vector<double> scores;
      double sum = 0;
      for (int64_t e = 0; e < p.experts; ++e) {
        double logit = 0;
        for (int64_t i = 0; i < hidden; ++i) {
          logit += double(x[size_t(r * hidden + i)]) * weight[size_t(e * hidden + i)];
        }
        scores.push_back(std::exp(logit));
        sum += scores.back();
      }
      for (int64_t i = 0; i < p.experts; ++i) {
        const auto at = size_t(r * p.experts + i);
        REQUIRE((got_ids[at] >= 0 && got_ids[at] < p.experts));
        // TF32 would be off by some 1e-3.
        REQUIRE(got[at] == Approx(scores[size_t(got_ids[at])] / sum).epsilon(2e-5));
      }
    }
  }
}
