// A sequence with random inputs for the tests of gqa.
#pragma once

#include <cmath>
#include <vector>

#include "ops/attention/attention_kernels.hpp"
#include "ops/attention/gqa_paths.hpp"
#include "ops/attention/paged_cache.hpp"
#include "ops/ops_numbers.hpp"

namespace ktx::test {

inline graph::KvRow cache_row(const graph::GqaParams& p) {
  return {.scaled = int64_t(2) * p.kv_heads * p.head, .group = p.head, .exact = 0};
}

/// A sequence of `past + tokens` tokens.
struct GqaSequence {
  graph::GqaParams params;
  int64_t past = 0, tokens = 0;
  std::vector<float> q, k, v;
  ops::RopeTable rope;

  int64_t width() const { return int64_t(params.kv_heads) * params.head; }
  int64_t q_width() const { return int64_t(params.heads) * params.head; }
  int64_t total() const { return past + tokens; }
};

inline GqaSequence make_gqa(graph::GqaParams params, int rotated, int64_t past, int64_t tokens,
                            uint32_t seed) {
  params.scale = 1 / std::sqrt(float(params.head));
  for (int i = 0; i < rotated / 2; ++i) {
    params.rotary.frequency.push_back(std::pow(10000.0f, -2 * float(i) / float(rotated)));
  }
  GqaSequence s{params, past, tokens, {}, {}, {}, {}};
  s.q = random_floats(s.total() * (s.q_width() + 1), seed, 2);
  s.k = random_floats(s.total() * (s.width() + 2), seed + 1, 2);
  s.v = random_floats(s.total() * (s.width() + 3), seed + 2);
  s.rope = ops::RopeTable(params.rotary, s.total());
  return s;
}

/// All of a sequence's tokens are rows of the arguments.
inline ops::GqaArgs gqa_args(const GqaSequence& s, const ops::KvPages& cache, float* out) {
  return {.params = &s.params,
          .rope = &s.rope,
          .q = s.q.data(),
          .q_stride = s.q_width() + 1,
          .k = s.k.data(),
          .k_stride = s.width() + 2,
          .v = s.v.data(),
          .v_stride = s.width() + 3,
          .out = out,
          .out_stride = s.q_width(),
          .cache = cache};
}

}  // namespace ktx::test
