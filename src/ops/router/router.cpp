// The router: scores as blocked dot products, then the selection token by token.
#include "ops/router/router.hpp"

#include <algorithm>
#include <cmath>

#include "ops/parallel.hpp"
#include "ops/router/select.hpp"

namespace ktx::ops {
namespace {

constexpr int64_t column_block = 1024;  // of hidden: what one pass keeps in the second-level cache
constexpr int64_t token_block = 32;

/// Of few tokens it is the weights that take the time: smaller blocks share them out more evenly.
int64_t experts_of_block(int64_t tokens) noexcept {
  constexpr int64_t few = 8;
  return tokens <= few ? 8 : 16;
}

/// scores[t, e] = x[t] . weight[e] for a block of tokens and experts.
void dot_block(const RouterArgs& args, float* scores, int64_t token, int64_t expert) noexcept {
  const int64_t expert_block = experts_of_block(args.tokens);
  const int64_t experts = args.params->experts;
  f32::DotsArgs dots;
  dots.a_stride = args.x_stride;
  dots.b_stride = args.hidden;
  dots.c = scores + token * experts + expert;
  dots.c_stride = experts;
  dots.m = std::min(token_block, args.tokens - token);
  dots.n = std::min(expert_block, experts - expert);
  for (int64_t column = 0; column < args.hidden; column += column_block) {
    dots.a = args.x + token * args.x_stride + column;
    dots.b = args.weight + expert * args.hidden + column;
    dots.k = std::min(column_block, args.hidden - column);
    dots.add = column > 0;
    args.kernel->functions->dots(dots);
  }
}

void activate(const RouterArgs& args, float* scores) noexcept {
  const int experts = args.params->experts;
  if (args.params->sigmoid) {
    for (int e = 0; e < experts; ++e) scores[e] = 1 / (1 + std::exp(-scores[e]));
    return;
  }
  const f32::Functions& f = *args.kernel->functions;
  const float sum = f.exp_sum(scores, experts, f.max(scores, experts));
  for (int e = 0; e < experts; ++e) scores[e] /= sum;
}

void finish_token(const RouterArgs& args, float* scores, float* biased, int64_t token) noexcept {
  const int experts = args.params->experts;
  activate(args, scores);
  if (args.bias != nullptr) {
    for (int e = 0; e < experts; ++e) biased[e] = scores[e] + args.bias[e];
  }
  select_experts({.params = args.params,
                  .scores = scores,
                  .biased = args.bias != nullptr ? biased : scores,
                  .count = args.experts_per_token != nullptr ? args.experts_per_token[token]
                                                             : args.params->top_k,
                  .ids = args.ids + token * args.params->top_k,
                  .weights = args.weights + token * args.params->top_k});
}

}  // namespace

size_t router_scratch_bytes(const graph::RouterParams& params, int64_t max_tokens) noexcept {
  return size_t(2 * max_tokens * params.experts) * sizeof(float);
}

void router(const RouterArgs& args, hw::WorkerPool& pool) noexcept {
  const int64_t experts = args.params->experts;
  auto* scores = reinterpret_cast<float*>(args.scratch);
  float* biased = scores + args.tokens * experts;
  const int64_t token_blocks = (args.tokens + token_block - 1) / token_block;
  const int64_t expert_block = experts_of_block(args.tokens);
  const int64_t expert_blocks = (experts + expert_block - 1) / expert_block;
  const int64_t cost = std::min(args.tokens, token_block) * expert_block * args.hidden;
  for_each(pool, token_blocks * expert_blocks, cost, [&](int64_t i, int) noexcept {
    dot_block(args, scores, i / expert_blocks * token_block, i % expert_blocks * expert_block);
  });
  for_each(pool, args.tokens, 32 * experts, [&](int64_t t, int) noexcept {
    finish_token(args, scores + t * experts, biased + t * experts, t);
  });
}

}  // namespace ktx::ops
