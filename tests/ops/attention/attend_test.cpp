// The core of attention: key ranges in turn or apart give the same, limits are kept.
#include "ops/attention/attend.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include "catch.hpp"
#include "ops/attention/attention.hpp"
#include "ops/ops_numbers.hpp"

using namespace ktx;
using test::random_floats;

namespace {

constexpr int64_t key_dim = 24, value_dim = 20, keys = 300;

struct States {
  explicit States(int64_t rows)
      : max(size_t(rows)), sum(size_t(rows)), values(size_t(rows * value_dim)) {}
  ops::AttendState state() { return {max.data(), sum.data(), values.data(), value_dim}; }
  std::vector<float> max, sum, values;
};

struct Inputs {
  std::vector<float> q = random_floats(ops::query_block * key_dim, 1);
  std::vector<float> k = random_floats(keys * key_dim, 2);
  std::vector<float> v = random_floats(keys * value_dim, 3);
  std::vector<float> scores = std::vector<float>(size_t(ops::query_block * ops::key_block));
};

/// Attention of `rows` rows, `per_token` a token, over key ranges bounded by `bounds` in turn.
ops::AttendArgs make_args(Inputs& in, const ops::AttentionKernel& kernel, int64_t rows,
                          int64_t per_token, int64_t past, int64_t window) {
  ops::AttendArgs a;
  a.functions = kernel.functions;
  a.q = in.q.data();
  a.q_stride = key_dim;
  a.rows = rows;
  a.rows_per_token = per_token;
  a.past = past;
  a.window = window;
  a.key_stride = key_dim;
  a.value_stride = value_dim;
  a.key_dim = key_dim;
  a.value_dim = value_dim;
  a.scale = 0.3f;
  a.scores = in.scores.data();
  return a;
}

void attend_range(Inputs& in, ops::AttendArgs a, int64_t begin, int64_t end) {
  a.key_begin = begin;
  a.key_end = end;
  a.keys = in.k.data() + begin * key_dim;
  a.values = in.v.data() + begin * value_dim;
  ops::attend(a);
}

std::vector<double> formula(const Inputs& in, int64_t row, int64_t begin, int64_t end) {
  double sum = 0;
  std::vector<double> out(value_dim);
  for (int64_t s = begin; s < end; ++s) {
    double score = 0;
    for (int64_t i = 0; i < key_dim; ++i) {
      score += 0.3f * double(in.q[size_t(row * key_dim + i)]) * in.k[size_t(s * key_dim + i)];
    }
    sum += std::exp(score);
    for (int64_t i = 0; i < value_dim; ++i) {
      out[size_t(i)] += std::exp(score) * in.v[size_t(s * value_dim + i)];
    }
  }
  for (double& x : out) x /= sum;
  return out;
}

}  // namespace

TEST_CASE("attend: causal, windowed, in ranges one after another, against the formula") {
  struct Case {
    int64_t rows, per_token, past, window;
  };
  for (const ops::AttentionKernel& kernel : ops::attention_kernels()) {
    if (kernel.isa > hw::usable_isa()) continue;
    for (const auto& c : {Case{1, 1, 0, 0}, Case{48, 1, 100, 0}, Case{48, 1, 3, 7},
                          Case{47, 5, 60, 0}, Case{12, 4, 290, 100}, Case{30, 3, 64, 1}}) {
      for (const std::vector<int64_t>& bounds :
           {std::vector<int64_t>{0, keys}, {0, 64, 128, keys}, {0, 1, 2, 65, 200, keys}}) {
        INFO(kernel.name << ": " << c.rows << ' ' << c.per_token << ' ' << c.past << ' '
                         << c.window);
        Inputs in;
        States states(c.rows);
        auto args = make_args(in, kernel, c.rows, c.per_token, c.past, c.window);
        args.state = states.state();
        ops::clear(args.state, c.rows);
        for (size_t i = 1; i < bounds.size(); ++i) attend_range(in, args, bounds[i - 1], bounds[i]);
        for (int64_t r = 0; r < c.rows; ++r) {
          std::vector<float> out(value_dim);
          ops::merge({kernel.functions, states.state(), r, 1, 0, value_dim, out.data()});
          const int64_t end = c.past + r / c.per_token + 1;
          const int64_t begin = c.window > 0 ? std::max<int64_t>(0, end - c.window) : 0;
          const auto expected = formula(in, r, begin, end);
          for (size_t i = 0; i < out.size(); ++i) {
            REQUIRE(out[i] == Approx(expected[i]).epsilon(1e-5).margin(1e-5));
          }
        }
      }
    }
  }
}

TEST_CASE("attend: keys beyond a row's position are not touched") {
  const ops::AttentionKernel& kernel = ops::best_attention_kernel(hw::usable_isa());
  Inputs in;
  for (size_t i = 70 * key_dim; i < in.k.size(); ++i) in.k[i] = std::nanf("");
  for (size_t i = 70 * value_dim; i < in.v.size(); ++i) in.v[i] = std::nanf("");
  States states(2);
  auto args = make_args(in, kernel, 2, 1, 68, 0);
  args.state = states.state();
  ops::clear(args.state, 2);
  attend_range(in, args, 0, keys);
  for (float x : states.values) REQUIRE(std::isfinite(x));
}

TEST_CASE("merge: ranges attended apart, an empty one among them, equal ranges in turn") {
  const ops::AttentionKernel& kernel = ops::best_attention_kernel(hw::usable_isa());
  Inputs in;
  const int64_t rows = 3, parts = 4;
  States apart(rows * parts);
  const int64_t bounds[] = {0, 50, 128, 201, keys};  // position 200 is the last seen
  for (int64_t part = 0; part < parts; ++part) {
    auto args = make_args(in, kernel, rows, 3, 200, 0);
    args.state = {apart.max.data() + part * rows, apart.sum.data() + part * rows,
                  apart.values.data() + part * rows * value_dim, value_dim};
    ops::clear(args.state, rows);
    attend_range(in, args, bounds[part], bounds[part + 1]);
  }
  for (int64_t r = 0; r < rows; ++r) {
    std::vector<float> out(value_dim);
    ops::merge({kernel.functions, apart.state(), r, parts, rows, value_dim, out.data()});
    const auto expected = formula(in, r, 0, 201);
    for (size_t i = 0; i < out.size(); ++i) {
      REQUIRE(out[i] == Approx(expected[i]).epsilon(1e-5).margin(1e-5));
    }
  }
}

TEST_CASE("attend: scores far apart do not overflow") {
  const ops::AttentionKernel& kernel = ops::best_attention_kernel(hw::usable_isa());
  Inputs in;
  for (float& x : in.q) x *= 1000;
  States states(1);
  auto args = make_args(in, kernel, 1, 1, keys - 1, 0);
  args.state = states.state();
  ops::clear(args.state, 1);
  attend_range(in, args, 0, keys);
  CHECK(std::isfinite(states.sum[0]));
  CHECK(states.sum[0] >= 1);
  for (float x : states.values) CHECK(std::isfinite(x));
}

TEST_CASE("key_splits: splits few rows over many keys, within the scratch's bound") {
  CHECK(ops::key_splits(1, 1) == 1);
  CHECK(ops::key_splits(1, 128) == 1);
  CHECK(ops::key_splits(1, 129) == 2);
  CHECK(ops::key_splits(1, 1 << 20) == ops::most_split_blocks);
  CHECK(ops::key_splits(1000, 1 << 20) == 1);
  for (int64_t blocks = 1; blocks < 200; ++blocks) {
    const int64_t splits = ops::key_splits(blocks, 1 << 20);
    CHECK((splits == 1 || splits * blocks <= ops::most_split_blocks));
  }
}
