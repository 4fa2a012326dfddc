// The router's scores against the formula in double, and that blocking changes nothing.
#include "ops/router/router.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "catch.hpp"
#include "core/base/buffer.hpp"
#include "ops/ops_numbers.hpp"
#include "ops/router/select.hpp"

using namespace ktx;
using test::random_floats;

namespace {

struct Layer {
  graph::RouterParams params;
  int64_t hidden = 0, tokens = 0;
  std::vector<float> x, weight, bias;
};

Layer make_layer(graph::RouterParams params, int64_t hidden, int64_t tokens, bool bias) {
  Layer layer{params,
              hidden,
              tokens,
              random_floats(tokens * (hidden + 3), 1),
              random_floats(params.experts * hidden, 2, 2 / std::sqrt(float(hidden))),
              {}};
  if (bias) layer.bias = random_floats(params.experts, 3, 0.2f);
  return layer;
}

struct Routing {
  std::vector<int32_t> ids;
  std::vector<float> weights;
};

Routing run(const Layer& layer, const ops::f32::Kernel& kernel, int threads, int64_t step,
            const int32_t* counts = nullptr) {
  hw::WorkerPool pool(threads);
  const int64_t k = layer.params.top_k;
  Routing result{std::vector<int32_t>(size_t(layer.tokens * k)),
                 std::vector<float>(size_t(layer.tokens * k))};
  base::Buffer scratch(ops::router_scratch_bytes(layer.params, step));
  for (int64_t t = 0; t < layer.tokens; t += step) {
    ops::router({.params = &layer.params,
                 .x = layer.x.data() + t * (layer.hidden + 3),
                 .x_stride = layer.hidden + 3,
                 .tokens = std::min(step, layer.tokens - t),
                 .hidden = layer.hidden,
                 .weight = layer.weight.data(),
                 .bias = layer.bias.empty() ? nullptr : layer.bias.data(),
                 .experts_per_token = counts == nullptr ? nullptr : counts + t,
                 .ids = result.ids.data() + t * k,
                 .weights = result.weights.data() + t * k,
                 .kernel = &kernel,
                 .scratch = scratch.data()},
                pool);
  }
  return result;
}

/// Scores of a token in double.
std::vector<float> exact_scores(const Layer& layer, int64_t token) {
  std::vector<double> logits;
  for (int64_t e = 0; e < layer.params.experts; ++e) {
    double sum = 0;
    for (int64_t i = 0; i < layer.hidden; ++i) {
      sum += double(layer.x[size_t(token * (layer.hidden + 3) + i)]) *
             layer.weight[size_t(e * layer.hidden + i)];
    }
    logits.push_back(sum);
  }
  double sum = 0;
  for (double logit : logits) sum += std::exp(logit);
  std::vector<float> scores;
  for (double logit : logits) {
    scores.push_back(
        float(layer.params.sigmoid ? 1 / (1 + std::exp(-logit)) : std::exp(logit) / sum));
  }
  return scores;
}

const std::vector<Layer>& layers() {
  static const std::vector<Layer> result = {
      make_layer({.experts = 32,
                  .top_k = 8,
                  .groups = 8,
                  .top_groups = 4,
                  .sigmoid = true,
                  .normalize = true,
                  .group_by_top2 = true,
                  .scale = 2.5f},
                 2500, 70, true),
      make_layer({.experts = 60, .top_k = 4}, 96, 33, false),
      make_layer({.experts = 18, .top_k = 6, .groups = 3, .top_groups = 2, .scale = 16}, 1025, 7,
                 false),
  };
  return result;
}

}  // namespace

TEST_CASE("router: sigmoid and softmax scores, bias for selection only") {
  for (const Layer& layer : layers()) {
    for (const ops::f32::Kernel& kernel : ops::f32::kernels()) {
      if (kernel.isa > hw::usable_isa()) continue;
      INFO(kernel.name << ", " << layer.params.experts << " experts");
      const Routing routing = run(layer, kernel, 2, layer.tokens);
      const auto k = size_t(layer.params.top_k);
      for (int64_t t = 0; t < layer.tokens; ++t) {
        const auto scores = exact_scores(layer, t);
        auto biased = scores;
        for (size_t e = 0; e < layer.bias.size(); ++e) biased[e] += layer.bias[e];
        std::vector<int32_t> ids(k);
        std::vector<float> weights(k);
        ops::select_experts({&layer.params, scores.data(), biased.data(), layer.params.top_k,
                             ids.data(), weights.data()});
        for (size_t i = 0; i < k; ++i) {
          REQUIRE(routing.ids[size_t(t) * k + i] == ids[i]);
          REQUIRE(routing.weights[size_t(t) * k + i] == Approx(weights[i]).epsilon(1e-5));
        }
      }
    }
  }
}

TEST_CASE("router: steps and threads do not change a bit") {
  for (const Layer& layer : layers()) {
    for (const ops::f32::Kernel& kernel : ops::f32::kernels()) {
      if (kernel.isa > hw::usable_isa()) continue;
      const Routing whole = run(layer, kernel, 1, layer.tokens);
      for (int threads : {1, 2, 3, 5}) {
        const Routing other = run(layer, kernel, threads, threads == 1 ? 1 : 13);
        REQUIRE(whole.ids == other.ids);
        REQUIRE(whole.weights == other.weights);
      }
    }
  }
}

TEST_CASE("router: fewer experts than the checkpoint's are the first of them, normalised anew") {
  Layer layer = layers().front();
  const ops::f32::Kernel& kernel = ops::f32::best_kernel(hw::usable_isa());
  const Routing eight = run(layer, kernel, 1, 16);
  layer.params.top_k = 6;
  const Routing six = run(layer, kernel, 1, 16);
  for (size_t t = 0; t < size_t(layer.tokens); ++t) {
    float sum = 0;
    for (size_t i = 0; i < 6; ++i) {
      CHECK(six.ids[t * 6 + i] == eight.ids[t * 8 + i]);
      sum += six.weights[t * 6 + i];
    }
    CHECK(sum == Approx(2.5));
  }
}

TEST_CASE("router: every token may get another number of experts") {
  const Layer layer = layers().front();
  const ops::f32::Kernel& kernel = ops::f32::best_kernel(hw::usable_isa());
  std::vector<int32_t> counts;
  for (int64_t t = 0; t < layer.tokens; ++t) counts.push_back(1 + int32_t(t) % layer.params.top_k);
  const Routing some = run(layer, kernel, 2, 16, counts.data());
  const int k = layer.params.top_k;
  for (int64_t t = 0; t < layer.tokens; ++t) {
    Layer alone = layer;
    alone.params.top_k = counts[size_t(t)];
    const Routing expected = run(alone, kernel, 1, 16);
    for (int i = 0; i < k; ++i) {
      const bool used = i < counts[size_t(t)];
      const auto at = size_t(t * k + i), from = size_t(t * alone.params.top_k + i);
      CHECK(some.ids[at] == (used ? expected.ids[from] : -1));
      CHECK(some.weights[at] == (used ? expected.weights[from] : 0.0f));
    }
  }
}
