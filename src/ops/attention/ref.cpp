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

/// Rounds a token's row to the cache.
void append(const KvPages& cache, const SequenceRows& sequence, int64_t position, const Row& row) {
  const std::vector<float> numbers(row.begin(), row.end());
  std::byte* to = cache.row_of(sequence, position);
  const int64_t scaled = cache.row.scaled;
  write_numbers({&cache, to, 0, scaled, numbers.data()});
  write_numbers({&cache, to, scaled, cache.row.exact, numbers.data() + scaled});
}

/// What the cache has of a sequence's tokens, [tokens, numbers of a row].
Row cached(const KvPages& cache, const SequenceRows& sequence) {
  Row result;
  std::vector<float> scratch(size_t(cache.row.numbers()));
  for (int64_t s = 0; s < sequence.tokens(); ++s) {
    const float* row = read_rows({.cache = &cache,
                                  .functions = &f32::ref_functions,
                                  .page = sequence.pages[s / graph::page_tokens],
                                  .token = s % graph::page_tokens,
                                  .tokens = 1,
                                  .numbers = cache.row.numbers(),
                                  .scratch = scratch.data()})
                           .data;
    result.insert(result.end(), row, row + cache.row.numbers());
  }
  return result;
}

/// Columns [first, first + count) of rows.
Row columns(const Row& rows, int64_t width, int64_t first, int64_t count) {
  Row result;
  for (auto row = rows.begin(); row != rows.end(); row += width)
    result.insert(result.end(), row + first, row + first + count);
  return result;
}

/// Expands the cache's rows for one head: k = (k_b^T c, k_rope), v = v_b c.
KeyValue expand(const MlaArgs& args, const Row& rows, int64_t head) {
  const graph::MlaParams& p = *args.params;
  const Row k_b = decode(args.k_b[head]), v_b = decode(args.v_b[head]);
  KeyValue result;
  for (auto row = rows.begin(); row != rows.end(); row += p.kv_lora + p.rope) {
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

void attend_ref(const MlaArgs& args, const SequenceRows& sequence) {
  const graph::MlaParams& p = *args.params;
  const Row rows = cached(args.cache, sequence);
  for (int64_t head = 0; head < p.heads; ++head) {
    const KeyValue kv = expand(args, rows, head);
    for (int64_t t = 0; t < sequence.rows; ++t) {
      const int64_t row = sequence.first_row + t, position = sequence.past + t;
      const Row q = rotated(args.q + row * args.q_stride + head * (p.nope + p.rope),
                            p.nope + p.rope, p.nope, *args.rope, position);
      attend_one(q, kv, p.v, p.scale, 0, position + 1,
                 args.out + row * args.out_stride + head * p.v);
    }
  }
}

void attend_ref(const GqaArgs& args, const SequenceRows& sequence) {
  const graph::GqaParams& p = *args.params;
  const int64_t width = int64_t(p.kv_heads) * p.head;
  const Row rows = cached(args.cache, sequence);
  for (int64_t head = 0; head < p.heads; ++head) {
    const int64_t at = head / (p.heads / p.kv_heads) * p.head;
    const KeyValue kv{columns(rows, 2 * width, at, p.head),
                      columns(rows, 2 * width, width + at, p.head)};
    for (int64_t t = 0; t < sequence.rows; ++t) {
      const int64_t row = sequence.first_row + t, position = sequence.past + t;
      const Row q =
          rotated(args.q + row * args.q_stride + head * p.head, p.head, 0, *args.rope, position);
      const int64_t begin = p.window > 0 ? std::max<int64_t>(0, position + 1 - p.window) : 0;
      attend_one(q, kv, p.head, p.scale, begin, position + 1,
                 args.out + row * args.out_stride + head * p.head);
    }
  }
}

}  // namespace

void mla_ref(const MlaArgs& args) {
  const graph::MlaParams& p = *args.params;
  for (const SequenceRows& sequence : args.sequences) {
    for (int64_t t = 0; t < sequence.rows; ++t) {
      const int64_t row = sequence.first_row + t, position = sequence.past + t;
      const float* latent = args.latent + row * args.latent_stride;
      Row numbers(latent, latent + p.kv_lora);
      const Row k =
          rotated(args.k_rope + row * args.k_rope_stride, p.rope, 0, *args.rope, position);
      numbers.insert(numbers.end(), k.begin(), k.end());
      append(args.cache, sequence, position, numbers);
    }
  }
  for (const SequenceRows& sequence : args.sequences) attend_ref(args, sequence);
}

void gqa_ref(const GqaArgs& args) {
  const graph::GqaParams& p = *args.params;
  const int64_t width = int64_t(p.kv_heads) * p.head;
  for (const SequenceRows& sequence : args.sequences) {
    for (int64_t t = 0; t < sequence.rows; ++t) {
      const int64_t row = sequence.first_row + t, position = sequence.past + t;
      Row numbers;
      for (int64_t at = 0; at < width; at += p.head) {
        const Row k = rotated(args.k + row * args.k_stride + at, p.head, 0, *args.rope, position);
        numbers.insert(numbers.end(), k.begin(), k.end());
      }
      const float* v = args.v + row * args.v_stride;
      numbers.insert(numbers.end(), v, v + width);
      append(args.cache, sequence, position, numbers);
    }
  }
  for (const SequenceRows& sequence : args.sequences) attend_ref(args, sequence);
}

}  // namespace ktx::ops
