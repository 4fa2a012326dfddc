// The core of attention on tiles against the formula: what is seen, sizes that fill no square.
#include "ops/attention/tiled.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include "catch.hpp"
#include "core/base/buffer.hpp"
#include "ops/attention/attention_kernels.hpp"
#include "ops/ops_numbers.hpp"

using namespace ktx;
using test::random_floats;

namespace {

struct Case {
  int64_t rows, first_row, per_token, past, window, key_dim, value_dim;
};

constexpr Case cases[] = {{1, 0, 1, 0, 0, 1, 1},       {1, 0, 1, 700, 0, 16, 20},
                          {33, 0, 1, 0, 0, 33, 40},    {64, 0, 1, 480, 0, 64, 32},
                          {100, 7, 5, 500, 0, 24, 65}, {96, 32, 1, 600, 40, 32, 16},
                          {70, 0, 1, 0, 1, 48, 48},    {130, 3, 4, 1000, 513, 20, 12},
                          {300, 0, 1, 0, 0, 40, 24},   {64, 0, 8, 1020, 600, 192, 128}};

struct Inputs {
  explicit Inputs(const Case& c)
      : keys(c.past + (c.first_row + c.rows - 1) / c.per_token + 1),
        q(random_floats(c.rows * c.key_dim, 1, 2)),
        k(random_floats(keys * c.key_dim, 2)),
        v(random_floats(keys * c.value_dim, 3)) {}
  int64_t keys;
  std::vector<float> q, k, v;
};

std::vector<float> run(const Case& c, const Inputs& in, const ops::AttentionTiles& tiles,
                       std::byte* scratch, float scale) {
  ops::Arena arena(scratch);
  const ops::TiledShape shape{ops::squares_of(c.key_dim), ops::squares_of(c.value_dim)};
  const ops::TiledTask task{.tiles = tiles,
                            .shape = shape,
                            .buffers = ops::TiledBuffers(arena, shape, c.rows),
                            .rows = c.rows,
                            .first_row = c.first_row,
                            .rows_per_token = c.per_token,
                            .past = c.past,
                            .window = c.window};
  ops::PanelPackArgs pack{.x = in.q.data(),
                          .stride = c.key_dim,
                          .rows = c.rows,
                          .cols = c.key_dim,
                          .side = ops::Side::right,
                          .scale = scale * ops::log2_e,
                          .panels = task.buffers.queries,
                          .panel_bytes = task.query_panel_bytes()};
  tiles.pack(pack);
  ops::attend_tiles(task, [&](const ops::KeyRange& range) noexcept {
    tiles.pack({.x = in.k.data() + range.begin * c.key_dim,
                .stride = c.key_dim,
                .rows = range.end - range.begin,
                .cols = c.key_dim,
                .panels = task.buffers.keys,
                .panel_bytes = task.key_panel_bytes()});
    tiles.pack({.x = in.v.data() + range.begin * c.value_dim,
                .stride = c.value_dim,
                .rows = range.end - range.begin,
                .cols = c.value_dim,
                .k = ops::Direction::across_rows,
                .panels = task.buffers.values,
                .panel_bytes = ops::TiledTask::value_panel_bytes});
  });
  std::vector<float> out(size_t(c.rows * c.value_dim));
  ops::write(task, c.value_dim,
             [&](int64_t row) noexcept { return out.data() + row * c.value_dim; });
  return out;
}

std::vector<float> formula(const Case& c, const Inputs& in, double scale) {
  std::vector<float> out;
  for (int64_t r = 0; r < c.rows; ++r) {
    const int64_t end = c.past + (c.first_row + r) / c.per_token + 1;
    const int64_t begin = c.window > 0 ? std::max<int64_t>(0, end - c.window) : 0;
    std::vector<double> row(size_t(c.value_dim)), scores;
    double max = -std::numeric_limits<double>::infinity(), sum = 0;
    for (int64_t s = begin; s < end; ++s) {
      double score = 0;
      for (int64_t i = 0; i < c.key_dim; ++i)
        score += scale * in.q[size_t(r * c.key_dim + i)] * in.k[size_t(s * c.key_dim + i)];
      scores.push_back(score);
      max = std::max(max, score);
    }
    for (int64_t s = begin; s < end; ++s) {
      const double weight = std::exp(scores[size_t(s - begin)] - max);
      sum += weight;
      for (int64_t i = 0; i < c.value_dim; ++i)
        row[size_t(i)] += weight * in.v[size_t(s * c.value_dim + i)];
    }
    for (double x : row) out.push_back(float(x / sum));
  }
  return out;
}

/// NaN, so that nothing may be read that was not written.
base::Buffer poisoned(const Case& c) {
  ops::Arena arena;
  ops::TiledBuffers(arena, {ops::squares_of(c.key_dim), ops::squares_of(c.value_dim)}, c.rows);
  base::Buffer scratch(arena.used());
  std::fill_n(scratch.data(), scratch.size(), std::byte{0xff});
  return scratch;
}

}  // namespace

TEST_CASE("tiled attention: causal, windowed, over tiles of keys, against the formula") {
  for (const auto* kernel : test::usable_tile_kernels()) {
    for (const Case& c : cases) {
      INFO(kernel->name << ": " << c.rows << " rows, " << c.past << " past, window " << c.window);
      const Inputs in(c);
      const float scale = 1 / std::sqrt(float(c.key_dim));
      auto scratch = poisoned(c);
      const auto out = run(c, in, *kernel->tiles, scratch.data(), scale);
      REQUIRE(test::relative_distance(out, formula(c, in, scale)) < test::bound_of(*kernel));
    }
  }
}

TEST_CASE("tiled attention: scores far apart neither overflow nor lose the largest") {
  const Case c{40, 0, 1, 530, 0, 32, 32};
  for (const auto* kernel : test::usable_tile_kernels()) {
    Inputs in(c);
    // Every query meets itself in one key of its own, far above the others.
    for (int64_t r = 0; r < c.rows; ++r)
      for (int64_t i = 0; i < c.key_dim; ++i)
        in.k[size_t((r * 13 + 1) * c.key_dim + i)] = in.q[size_t(r * c.key_dim + i)];
    auto scratch = poisoned(c);
    const auto out = run(c, in, *kernel->tiles, scratch.data(), 50);
    for (int64_t r = 0; r < c.rows; ++r)
      for (int64_t i = 0; i < c.value_dim; ++i)
        REQUIRE(out[size_t(r * c.value_dim + i)] ==
                Approx(in.v[size_t((r * 13 + 1) * c.value_dim + i)]).epsilon(0.004));
  }
}

TEST_CASE("tiled attention: what is not a number stays so") {
  const Case c{3, 0, 1, 0, 0, 16, 16};
  for (const auto* kernel : test::usable_tile_kernels()) {
    Inputs in(c);
    in.q[size_t(c.key_dim)] = std::nanf("");  // of row 1
    auto scratch = poisoned(c);
    const auto out = run(c, in, *kernel->tiles, scratch.data(), 1);
    for (int64_t i = 0; i < c.value_dim; ++i) {
      CHECK(std::isfinite(out[size_t(i)]));
      CHECK(std::isnan(out[size_t(c.value_dim + i)]));
      CHECK(std::isfinite(out[size_t(2 * c.value_dim + i)]));
    }
  }
}
