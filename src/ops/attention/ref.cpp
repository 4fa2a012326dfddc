// mla and gqa by their formulas, in double: the oracle of the tests.
#include <algorithm>
#include <cmath>
#include <vector>

#include "ops/attention/gqa.hpp"
#include "ops/attention/mla.hpp"

namespace ktx::ops {
namespace {

using Row = std::vector<double>;

void softmax(Row& scores) {
  const double max = *std::max_element(scores.begin(), scores.end());
  double sum = 0;
  for (double& score : scores) sum += score = std::exp(score - max);
  for (double& score : scores) score /= sum;
}

double dot(const double* a, const double* b, int64_t n) {
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

/// A matrix in Layout::rows as numbers, [rows, cols].
Row decode(const PackedMatrix& matrix) {
  std::vector<float> row(static_cast<size_t>(matrix.cols));
  Row all;
  for (int64_t r = 0; r < matrix.rows; ++r) {
    quant::info(matrix.format)
        .decode(matrix.data + r * quant::row_bytes(matrix.format, matrix.cols), row.data(),
                matrix.cols);
    all.insert(all.end(), row.begin(), row.end());
  }
  return all;
}

/// A copy of x[0, size) whose numbers from `at` on are rotated.
Row rotated(const float* x, int64_t size, int64_t at, const RopeTable& rope, int64_t position) {
  std::vector<float> copy(x, x + size);
  rope.rotate(copy.data() + at, position);
  return Row(copy.begin(), copy.end());
}

struct KeyValue {
  Row keys;    // [positions, key_dim]
  Row values;  // [positions, value_dim]
};

/// Expands the cache for one head: k = (k_b^T c, k_rope), v = v_b c.
KeyValue expand(const MlaArgs& args, int64_t head) {
  const graph::MlaParams& p = *args.params;
  const Row k_b = decode(args.k_b[head]), v_b = decode(args.v_b[head]);
  KeyValue result;
  for (int64_t s = 0; s < args.past + args.tokens; ++s) {
    const float* row = args.cache + s * (p.kv_lora + p.rope);
    const Row latent(row, row + p.kv_lora);
    for (int j = 0; j < p.nope; ++j) {
      double sum = 0;
      for (int i = 0; i < p.kv_lora; ++i) sum += k_b[size_t(i * p.nope + j)] * latent[size_t(i)];
      result.keys.push_back(sum);
    }
    result.keys.insert(result.keys.end(), row + p.kv_lora, row + p.kv_lora + p.rope);
    for (int j = 0; j < p.v; ++j) {
      result.values.push_back(dot(v_b.data() + j * p.kv_lora, latent.data(), p.kv_lora));
    }
  }
  return result;
}

/// Attention of one query over positions [begin, end).
void attend_one(const Row& q, const KeyValue& kv, int64_t value_dim, double scale, int64_t begin,
                int64_t end, float* out) {
  const auto key_dim = static_cast<int64_t>(q.size());
  Row scores;
  for (int64_t s = begin; s < end; ++s) {
    scores.push_back(scale * dot(q.data(), kv.keys.data() + s * key_dim, key_dim));
  }
  softmax(scores);
  for (int64_t i = 0; i < value_dim; ++i) {
    double sum = 0;
    for (int64_t s = begin; s < end; ++s) {
      sum += scores[size_t(s - begin)] * kv.values[size_t(s * value_dim + i)];
    }
    out[i] = float(sum);
  }
}

/// The positions of one key head, out of a cache's rows.
Row head_of(const float* cache, int64_t positions, int64_t width, int64_t head, int64_t size) {
  Row result;
  for (int64_t s = 0; s < positions; ++s) {
    const float* row = cache + s * width + head * size;
    result.insert(result.end(), row, row + size);
  }
  return result;
}

}  // namespace

void mla_ref(const MlaArgs& args) {
  const graph::MlaParams& p = *args.params;
  for (int64_t t = 0; t < args.tokens; ++t) {
    float* row = args.cache + (args.past + t) * (p.kv_lora + p.rope);
    std::copy_n(args.latent + t * args.latent_stride, p.kv_lora, row);
    std::copy_n(args.k_rope + t * args.k_rope_stride, p.rope, row + p.kv_lora);
    args.rope->rotate(row + p.kv_lora, args.past + t);
  }
  for (int64_t head = 0; head < p.heads; ++head) {
    const KeyValue kv = expand(args, head);
    for (int64_t t = 0; t < args.tokens; ++t) {
      const Row q = rotated(args.q + t * args.q_stride + head * (p.nope + p.rope), p.nope + p.rope,
                            p.nope, *args.rope, args.past + t);
      attend_one(q, kv, p.v, p.scale, 0, args.past + t + 1,
                 args.out + t * args.out_stride + head * p.v);
    }
  }
}

void gqa_ref(const GqaArgs& args) {
  const graph::GqaParams& p = *args.params;
  const int64_t width = int64_t(p.kv_heads) * p.head, end = args.past + args.tokens;
  for (int64_t t = 0; t < args.tokens; ++t) {
    float* k = args.k_cache + (args.past + t) * width;
    std::copy_n(args.k + t * args.k_stride, width, k);
    std::copy_n(args.v + t * args.v_stride, width, args.v_cache + (args.past + t) * width);
    for (int h = 0; h < p.kv_heads; ++h) args.rope->rotate(k + h * p.head, args.past + t);
  }
  for (int64_t head = 0; head < p.heads; ++head) {
    const int64_t kv_head = head / (p.heads / p.kv_heads);
    const KeyValue kv{head_of(args.k_cache, end, width, kv_head, p.head),
                      head_of(args.v_cache, end, width, kv_head, p.head)};
    for (int64_t t = 0; t < args.tokens; ++t) {
      const int64_t position = args.past + t;
      const Row q =
          rotated(args.q + t * args.q_stride + head * p.head, p.head, 0, *args.rope, position);
      const int64_t begin = p.window > 0 ? std::max<int64_t>(0, position + 1 - p.window) : 0;
      attend_one(q, kv, p.head, p.scale, begin, position + 1,
                 args.out + t * args.out_stride + head * p.head);
    }
  }
}

}  // namespace ktx::ops
